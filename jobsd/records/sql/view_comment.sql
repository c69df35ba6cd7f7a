-- view_comment: write the statement that comments on a view.
--
-- $1  schema   text
-- $2  name     text
-- $3  comment  text
SELECT format('COMMENT ON VIEW %I.%I IS %L', $1::text, $2::text, $3::text)
