-- view_drop: write the statement that drops a view, unless something else is built on it.
--
-- $1  schema  text
-- $2  name    text
SELECT format('DROP VIEW %I.%I RESTRICT', $1::text, $2::text)
