-- The ledger's months: made while records go on, given what lies in the default partition, dropped when they are over.

-- Partitions that jobsd has made. One of another name somebody attached by hand; it is theirs.
CREATE VIEW jobsd.partitions AS
SELECT found.partition,
       found.first_day AT TIME ZONE 'UTC' AS starts_at,
       (found.first_day + interval '1 month') AT TIME ZONE 'UTC' AS ends_at
FROM (SELECT c.oid::regclass AS partition,
             to_date(substring(c.relname FROM '^executions_(\d{4}_(?:0[1-9]|1[0-2]))$'), 'YYYY_MM')::timestamp AS first_day
      FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'jobsd.executions'::regclass) AS found
WHERE found.first_day IS NOT NULL;

-- Give the month that `at` lies in its partition, and the rows of it that are in the default one; the caller holds
-- the schema's lock.
-- Returns 'made', 'present', or 'blocked': too many rows to move while records wait.
-- Raises lock_not_available after 250 ms: those who come after us wait as long as we do.
CREATE OR REPLACE FUNCTION jobsd.ensure_partition(at timestamptz) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    first_day timestamp   := date_trunc('month', at AT TIME ZONE 'UTC');
    since     timestamptz := first_day AT TIME ZONE 'UTC';
    before    timestamptz := (first_day + interval '1 month') AT TIME ZONE 'UTC';
    name      text        := to_char(first_day, '"executions_"YYYY_MM');
    strays    bigint;
    columns   text;
BEGIN
    -- Asked of the catalog itself: to_regclass answers from a cache that may be older than the caller's lock.
    IF EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'jobsd' AND c.relname = name) THEN
        RETURN 'present';
    END IF;
    SELECT count(*) INTO strays
    FROM (SELECT FROM jobsd.executions_default AS d
          WHERE d.started_at >= since AND d.started_at < before LIMIT 100001) AS found;
    IF strays > 100000 OR strays > 0 AND pg_table_size('jobsd.executions_default') > 256 * 1024 * 1024 THEN
        RETURN 'blocked';
    ELSIF strays > 0 THEN
        LOCK TABLE ONLY jobsd.executions IN SHARE ROW EXCLUSIVE MODE;  -- more of them may be on their way
    END IF;
    -- A table that is made as a partition needs the ledger for itself. One that is attached needs the default
    -- partition only, where records of today do not go.
    LOCK TABLE jobsd.executions_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE jobsd.%I (LIKE jobsd.executions INCLUDING ALL EXCLUDING INDEXES)', name);
    SELECT string_agg(quote_ident(a.attname), ', ') INTO columns
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = 'jobsd.executions'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    EXECUTE format('WITH moved AS (DELETE FROM jobsd.executions_default WHERE started_at >= $1 AND started_at < $2 '
                   'RETURNING %1$s) INSERT INTO jobsd.%2$I (%1$s) SELECT %1$s FROM moved', columns, name)
    USING since, before;
    EXECUTE format('ALTER TABLE jobsd.executions ATTACH PARTITION jobsd.%I FOR VALUES FROM (%L) TO (%L)',
                   name, since, before);
    RETURN 'made';
END
$$;

-- Drop the oldest partition, if all of it is older than `before`; the caller holds the schema's lock.
-- Returns the first instant of its month; null: there is none.
-- Raises lock_not_available after 250 ms. DETACH would need the same locks, and DETACH CONCURRENTLY is refused where
-- there is a default partition.
CREATE FUNCTION jobsd.drop_partition(before timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    oldest jobsd.partitions;
BEGIN
    SELECT * INTO oldest FROM jobsd.partitions AS p WHERE p.ends_at <= before ORDER BY p.ends_at LIMIT 1;
    IF FOUND THEN
        -- First what inserts lock first: in another order each could wait for the other.
        LOCK TABLE ONLY jobsd.executions IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('DROP TABLE %s', oldest.partition);
    END IF;
    RETURN oldest.starts_at;
END
$$;

-- The month after the next, unless somebody reads just now: a daemon makes it later.
DO $$
BEGIN
    PERFORM jobsd.ensure_partition(now() + interval '2 months');
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;
