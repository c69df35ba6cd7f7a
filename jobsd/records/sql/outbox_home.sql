-- outbox_home: say which Redis the outbox belongs to, unless that of another one is alive.
--
-- $1  epoch   text  what <shard>:epoch is
-- $2  before  text  what it was when the caller last looked; the same Redis, before it lost everything
-- $3  gone_s  integer  seconds of silence after which another one is gone
-- Returns a row if it is this one.
INSERT INTO jobsd.outbox_home AS home (epoch, seen_at) VALUES ($1::text, clock_timestamp())
ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, seen_at = excluded.seen_at
    WHERE home.epoch IN ($1::text, $2::text) OR home.seen_at < clock_timestamp() - $3::integer * interval '1 second'
RETURNING true AS ours
