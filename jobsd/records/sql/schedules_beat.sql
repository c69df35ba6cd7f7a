-- schedules_beat: say that a daemon of this declaration is alive; forget those that have not been for long.
--
-- $1  fingerprint  text
-- $2  age_ms       bigint  since its start, where that is not known any more
-- Returns the server's time; what is another text after any schedule was added, removed, defined otherwise, paused or resumed;
-- and the other declarations that are alive, null for none.
WITH alive AS (
    INSERT INTO jobsd.schedule_declarations (fingerprint, started_at)
    VALUES ($1::text, clock_timestamp() - $2::bigint * interval '1 ms')
    ON CONFLICT (fingerprint) DO UPDATE SET seen_at = excluded.seen_at
), forgotten AS (
    DELETE FROM jobsd.schedule_declarations WHERE seen_at < clock_timestamp() - interval '30 days'
)
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
    (SELECT concat(count(*), ' ', sum(changed)) FROM jobsd.schedules) AS entries,
    (SELECT string_agg(fingerprint, ' ' ORDER BY fingerprint) FROM jobsd.schedule_declarations
     WHERE seen_at > clock_timestamp() - interval '30 seconds' AND fingerprint <> $1::text) AS others
