-- view_path: until the transaction ends, a name without a schema is one of this schema.
--
-- $1  schema  text
SELECT set_config('search_path', format('%I', $1::text), true)
