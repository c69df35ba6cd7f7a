-- delete_effects: delete effects that were committed before an instant.
--
-- $1  before  timestamptz
-- $2  most    integer
-- Returns how many they were.
WITH deleted AS (
    DELETE FROM jobsd.effects
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobsd.effects WHERE created_at < $1::timestamptz LIMIT $2::integer))
    RETURNING 1
)
SELECT count(*) FROM deleted
