-- create_schema: make the schema, unless somebody with more rights has made it for us.
--
-- No parameters.
DO $$
BEGIN
    IF to_regnamespace('jobsd') IS NULL THEN
        CREATE SCHEMA jobsd;
    END IF;
END
$$
