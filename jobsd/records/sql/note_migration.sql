-- note_migration: remember that a migration was applied.
--
-- $1  version   integer
-- $2  name      text
-- $3  checksum  text
INSERT INTO jobsd.migrations (version, name, checksum) VALUES ($1, $2, $3)
