-- create_migrations: the list of what the schema was made by.
--
-- No parameters.
CREATE TABLE jobsd.migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
