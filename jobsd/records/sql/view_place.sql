-- view_place: what there is where a view is to be, and whether we may put one there.
--
-- $1  schema  text
-- $2  name    text
-- Returns one row, or none where there is no such schema. `kind` is null where the name is free; `needed` is what
-- an administrator would type to let us create in the schema, null where nothing is needed.
SELECT
    format('%I.%I', n.nspname, $2::text) AS full_name,
    CASE WHEN NOT (has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'))
         THEN format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', n.nspname, current_user) END AS needed,
    CASE WHEN c.relkind IN ('r', 'p') THEN 'table'
         WHEN c.relkind = 'v' THEN 'view'
         WHEN c.relkind = 'm' THEN 'materialized view'
         WHEN c.relkind = 'f' THEN 'foreign table'
         WHEN c.relkind = 'S' THEN 'sequence'
         WHEN c.relkind IN ('i', 'I') THEN 'index'
         WHEN t.oid IS NOT NULL THEN 'type' END AS kind,
    obj_description(c.oid, 'pg_class') AS comment
FROM pg_catalog.pg_namespace AS n
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = $2::text
LEFT JOIN pg_catalog.pg_type AS t ON t.typnamespace = n.oid AND t.typname = $2::text
WHERE n.nspname = $1::text
