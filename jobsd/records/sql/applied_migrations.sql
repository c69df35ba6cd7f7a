-- applied_migrations: what the schema was made by.
--
-- No parameters.
SELECT version, name, checksum FROM jobsd.migrations ORDER BY version
