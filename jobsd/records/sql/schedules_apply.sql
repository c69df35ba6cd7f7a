-- schedules_apply: write changes, each with its jobs, if its schedule is in the version in which it was read.
--
-- $1  changes  text  a JSON array of {"name", "v": version, "s": state, "tell": boolean, "r": runs}; a run is {"due": epoch ms,
--                    "last", "n": due times, "m": by hand, "st": state, "why"}, of a job also "id" and "i", and where it is to
--                    be put into the outbox "j": what put_in_outbox takes
-- Returns the names of those that were. What somebody else is changing in this moment is passed over.
WITH sent AS (
    SELECT * FROM json_to_recordset($1::text::json) AS sent (name text, v bigint, s jsonb, tell boolean, r json)
), free AS (
    SELECT e.name FROM jobsd.schedules AS e JOIN sent USING (name)
    WHERE e.version = sent.v ORDER BY e.name FOR UPDATE OF e SKIP LOCKED
), changed AS (
    UPDATE jobsd.schedules AS e SET
        version = e.version + 1, state = sent.s,
        changed = CASE WHEN sent.tell THEN nextval('jobsd.schedules_changed') ELSE e.changed END
    FROM sent JOIN free USING (name) WHERE e.name = sent.name
    RETURNING e.name
), runs AS (
    SELECT changed.name, run.*
    FROM changed JOIN sent USING (name),
        json_to_recordset(sent.r) AS run (due bigint, last bigint, n integer, m boolean, st text, why text, id text, i text, j json)
), carried AS ( -- has run already: that is true, whatever was written of it here
    INSERT INTO jobsd.schedule_runs AS kept (
        schedule, due_at, manual, state, reason, last_due_at, due_times, job_id, incarnation)
    SELECT name, jobsd.instant(due), m, st, why, jobsd.instant(last), n, id, i FROM runs WHERE id IS NOT NULL AND j IS NULL
    ON CONFLICT (schedule, due_at, manual) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, job_id = excluded.job_id, incarnation = excluded.incarnation,
        decided_at = excluded.decided_at
    WHERE kept.state <> 'fired' AND kept.due_times = 1
), noted AS (
    INSERT INTO jobsd.schedule_runs AS kept (
        schedule, due_at, manual, state, reason, last_due_at, due_times, job_id, incarnation)
    SELECT name, jobsd.instant(due), m, st, why, jobsd.instant(last), n, id, i FROM runs WHERE id IS NULL OR j IS NOT NULL
    ON CONFLICT (schedule, due_at, manual) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, job_id = excluded.job_id, incarnation = excluded.incarnation,
        decided_at = excluded.decided_at
    WHERE kept.state = 'waiting'
    RETURNING schedule, job_id
), put AS (
    SELECT jobsd.put_in_outbox(json_agg(runs.j))
    FROM runs JOIN noted ON noted.schedule = runs.name AND noted.job_id = runs.id
    WHERE runs.j IS NOT NULL HAVING count(*) > 0
)
SELECT name FROM changed WHERE (SELECT count(*) FROM put) >= 0
