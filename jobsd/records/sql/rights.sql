-- rights: what an administrator types for a role that may not make the schema, or not use it.
--
-- No parameters.
SELECT CASE WHEN to_regnamespace('jobsd') IS NULL
    THEN format('an administrator may type: GRANT CREATE ON DATABASE %I TO %I, or CREATE SCHEMA jobsd AUTHORIZATION %I',
                current_database(), current_user, current_user)
    ELSE format('the schema jobsd is another''s; an administrator may type: GRANT %I TO %I',
                (SELECT pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'jobsd'), current_user)
    END
