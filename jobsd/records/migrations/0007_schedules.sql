-- Schedules: what is declared, how far each has come, and what came of each due time.

-- `state` is jobsd/schedule/state.py's State, `definition` definition.py's Schedule, to the letter as it was written. Whoever changes an entry raises its
-- version, and does so only if it still is the one that it has read; a new entry has another than one of its name before. `changed` is another number after each change that
-- every daemon is to hear of.
CREATE SEQUENCE jobsd.schedules_changed AS bigint;

CREATE TABLE jobsd.schedules (
    name        text        NOT NULL PRIMARY KEY CONSTRAINT schedules_name CHECK (name ~ '^[A-Za-z0-9._:-]{1,80}$'),
    version     bigint      NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    source      text        NOT NULL CONSTRAINT schedules_source CHECK (source IN ('config', 'code', 'arq', 'runtime')),
    definition  json        NOT NULL,
    state       jsonb       NOT NULL,
    declared_by text        NOT NULL DEFAULT '',
    changed     bigint      NOT NULL DEFAULT nextval('jobsd.schedules_changed'),
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

ALTER SEQUENCE jobsd.schedules_changed OWNED BY jobsd.schedules.changed;

-- Sets of schedules that daemons declare: when one of those daemons was last heard of, and when the latest has started.
CREATE TABLE jobsd.schedule_declarations (
    fingerprint text        NOT NULL PRIMARY KEY,
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 60);

-- A due time of a schedule becomes one job, or none: the key judges. Of due times that were passed over one after the
-- other there is one row, from `due_at` to `last_due_at`.
CREATE TABLE jobsd.schedule_runs (
    schedule    text        NOT NULL,
    due_at      timestamptz NOT NULL,
    manual      boolean     NOT NULL DEFAULT false,
    state       text        NOT NULL CONSTRAINT schedule_runs_state CHECK (state IN ('fired', 'passed', 'waiting')),
    reason      text        NOT NULL DEFAULT '',
    last_due_at timestamptz NOT NULL,
    due_times   integer     NOT NULL DEFAULT 1,
    job_id      text,
    incarnation text,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schedule_runs_once PRIMARY KEY (schedule, due_at, manual)
) WITH (fillfactor = 90);

CREATE INDEX schedule_runs_due ON jobsd.schedule_runs (last_due_at);
CREATE INDEX schedule_runs_of ON jobsd.schedule_runs (schedule, last_due_at);
CREATE INDEX schedule_runs_passed ON jobsd.schedule_runs (last_due_at) WHERE state = 'passed';

-- The state of a schedule that is defined anew: what has another time than before, was disabled or had ended goes on from now.
CREATE FUNCTION jobsd.state_of_schedule(state jsonb, before json, after json) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT state
        || CASE WHEN (before->>'at', before->>'zone', before->>'seconds', before->>'start_ms')
                IS DISTINCT FROM (after->>'at', after->>'zone', after->>'seconds', after->>'start_ms')
            THEN jsonb_build_object('cursor', here.now, 'anchor', here.now) ELSE '{}' END
        || CASE WHEN (before->>'enabled', before->>'end_ms', before->>'max_runs')
                IS DISTINCT FROM (after->>'enabled', after->>'end_ms', after->>'max_runs')
            THEN jsonb_build_object('cursor', here.now) ELSE '{}' END
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS here
);

CREATE FUNCTION jobsd.tell_of_schedules() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('jobsd_schedules', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER schedules_come_and_go AFTER INSERT OR DELETE ON jobsd.schedules
FOR EACH STATEMENT EXECUTE FUNCTION jobsd.tell_of_schedules();

CREATE TRIGGER schedules_change AFTER UPDATE ON jobsd.schedules
FOR EACH ROW WHEN (old.changed IS DISTINCT FROM new.changed) EXECUTE FUNCTION jobsd.tell_of_schedules();
