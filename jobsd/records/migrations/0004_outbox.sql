-- The outbox: jobs that were enqueued in a transaction of the caller's, from its commit until they have ended.

-- One live job has an id. `pushed_to` is the life of Redis in which the job was last known to be there: '' before it ever
-- was. A job that cannot be pushed now waits until `held_until`, for the reason in `problem`.
CREATE TABLE jobsd.outbox (
    job_id      text        NOT NULL PRIMARY KEY,
    incarnation text        NOT NULL,
    queue       text        NOT NULL,
    due_at      timestamptz NOT NULL,
    number      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    payload     text        NOT NULL,
    enqueued_at timestamptz NOT NULL,
    pushed_to   text        NOT NULL DEFAULT '',
    held_until  timestamptz,
    problem     text,
    -- Who may enqueue may not write to any other key of Redis than a queue's and a job's.
    CONSTRAINT outbox_job_id CHECK (job_id ~ '^[A-Za-z0-9._:-]{1,128}$'),
    CONSTRAINT outbox_incarnation CHECK (incarnation ~ '^o[0-9a-hjkmnp-tv-z]{11}$'),
    CONSTRAINT outbox_queue CHECK (queue ~ '^[A-Za-z0-9._-]{1,128}$' OR (
        queue ~ '^[A-Za-z0-9._:{}-]+$' AND length(queue) <= 256 AND position(':' IN queue) > 0
        AND queue !~ '^(jobsd|arq:job|arq:in-progress|arq:result):')),
    CONSTRAINT outbox_payload CHECK (starts_with(payload, '{"i":"' || incarnation || '"'))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- What is to be pushed, in the order in which it falls due.
CREATE INDEX outbox_order ON jobsd.outbox (pushed_to, due_at, number);

-- The Redis that this outbox belongs to, by its epoch, and when one of its daemons last said so.
CREATE TABLE jobsd.outbox_home (
    one     boolean     NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    epoch   text        NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Put jobs into the outbox, in the caller's transaction.
-- `jobs` is an array of {"id", "i": incarnation, "q": queue, "w": when, "p": payload}; when is '' for now, '+500' for in
-- 500 ms, or epoch ms. Returns the id of each that was stored; of one whose id another job has, the id, a space, and that
-- job's incarnation.
CREATE FUNCTION jobsd.put_in_outbox(jobs json) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_is timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
        INSERT INTO jobsd.outbox AS kept (job_id, incarnation, queue, due_at, payload, enqueued_at)
        SELECT j.id, j.i, j.q,
            CASE WHEN j.w = '' THEN now_is
                 -- What lies before 1970 or after the year 9999 is due at its end.
                 ELSE jobsd.instant(least(greatest(
                     CASE WHEN starts_with(j.w, '+') THEN extract(epoch FROM now_is) * 1000 ELSE 0 END + j.w::numeric,
                     0), 253402300799999)::bigint) END,
            j.p, now_is
        FROM json_to_recordset(jobs) AS j (id text, i text, q text, w text, p text)
        ON CONFLICT (job_id) DO NOTHING
        RETURNING kept.job_id;
    IF FOUND THEN
        PERFORM pg_notify('jobsd_outbox', '');
    END IF;
    RETURN QUERY
        SELECT kept.job_id || ' ' || kept.incarnation
        FROM json_to_recordset(jobs) AS j (id text, i text) JOIN jobsd.outbox AS kept ON kept.job_id = j.id
        WHERE kept.incarnation <> j.i;
END
$$;

-- Whoever may call it may have any task run, with any arguments.
REVOKE EXECUTE ON FUNCTION jobsd.put_in_outbox(json) FROM PUBLIC;
