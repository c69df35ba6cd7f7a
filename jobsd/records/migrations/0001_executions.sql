-- The ledger: one row for every attempt of every job, a month to a partition.

CREATE SEQUENCE jobsd.executions_id_seq AS bigint;

-- The primary key says what "the same run" is: whoever writes a record twice writes the same key.
CREATE TABLE jobsd.executions (
    id               bigint      NOT NULL DEFAULT nextval('jobsd.executions_id_seq'),
    job_id           text        NOT NULL,
    incarnation      text,
    task             text        NOT NULL,
    queue            text        NOT NULL,
    attempt          integer     NOT NULL,
    outcome          text        NOT NULL CONSTRAINT executions_outcome_known CHECK (outcome IN (
                         'succeeded', 'failed', 'timed_out', 'snoozed', 'dropped',
                         'cancelled', 'interrupted', 'lost', 'expired')),
    transition       text        NOT NULL CONSTRAINT executions_transition_known CHECK (transition IN (
                         'completed', 'retry', 'scheduled', 'archived', 'requeued', 'removed')),
    success          boolean     GENERATED ALWAYS AS (outcome = 'succeeded') STORED,
    enqueued_at      timestamptz,
    scheduled_for    timestamptz,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz NOT NULL,
    -- Clocks jump and garbage arrives: a length is never below zero, nor so long that it refuses the row.
    duration_seconds numeric(10, 3) GENERATED ALWAYS AS (
                         least(greatest(extract(epoch FROM finished_at - started_at), 0), 9999999.999)) STORED,
    message          text,
    error_type       text,
    error_trace      text,
    args             jsonb,
    result_data      jsonb,
    worker           text        NOT NULL,
    schedule_id      text,
    batch_id         text,
    trace_id         text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt, started_at)
) PARTITION BY RANGE (started_at);

ALTER SEQUENCE jobsd.executions_id_seq OWNED BY jobsd.executions.id;

-- Every row pays for every index, so there are few: newest first, by task, and the runs that went wrong.
CREATE INDEX executions_started ON jobsd.executions (started_at);
CREATE INDEX executions_task_started ON jobsd.executions (task, started_at);
CREATE INDEX executions_troubled ON jobsd.executions (outcome, started_at) WHERE outcome <> 'succeeded';

-- Rows of a month that has no partition of its own: the far past, a future that a wrong clock invented.
CREATE TABLE jobsd.executions_default PARTITION OF jobsd.executions DEFAULT;

-- An instant from epoch milliseconds; null beyond the years 1970 to 9999, which no client could read.
CREATE FUNCTION jobsd.instant(ms bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ms BETWEEN 0 AND 253402300799999 THEN to_timestamp(ms / 1000::double precision) END;

-- Give the month that `at` lies in its partition; the caller holds the schema's lock.
-- Returns 'made', 'present', or 'blocked': its rows lie in the default partition already.
CREATE FUNCTION jobsd.ensure_partition(at timestamptz) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    name      text      := to_char(first_day, '"executions_"YYYY_MM');
BEGIN
    -- Asked of the catalog itself: to_regclass answers from a cache that may be older than the caller's lock.
    IF EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'jobsd' AND c.relname = name) THEN
        RETURN 'present';
    END IF;
    EXECUTE format('CREATE TABLE jobsd.%I PARTITION OF jobsd.executions FOR VALUES FROM (%L) TO (%L)', name,
                   first_day AT TIME ZONE 'UTC', (first_day + interval '1 month') AT TIME ZONE 'UTC');
    RETURN 'made';
EXCEPTION WHEN check_violation THEN
    RETURN 'blocked';
END
$$;

SELECT jobsd.ensure_partition(now()), jobsd.ensure_partition(now() + interval '1 month');

-- What the ledger would not take, as it came, with the reason.
CREATE TABLE jobsd.records_rejected (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     text        NOT NULL,
    raw        bytea       NOT NULL,
    cause      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A record that is delivered twice is rejected once.
CREATE UNIQUE INDEX records_rejected_once ON jobsd.records_rejected (sha256(raw), left(job_id, 128));
