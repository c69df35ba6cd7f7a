-- What the ledger says of many executions at once: statistics by hour, and failures that are alike.
--
-- A batch of executions and what it adds to either are one statement. It adds rows to the tables of changes, which
-- nobody else waits for; folding then sums them up. Table and changes together are exact at every moment.

ALTER TABLE jobsd.executions
    ADD COLUMN fingerprint text,
    ADD COLUMN altered boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN jobsd.executions.fingerprint IS 'of a failure: the same for the same error at the same place';
COMMENT ON COLUMN jobsd.executions.altered IS 'Postgres refused some text as it was; it is here in a form that it takes';

-- Indexes for the few: rows without such a value cost nothing.
CREATE INDEX executions_schedule ON jobsd.executions (schedule_id, started_at) WHERE schedule_id IS NOT NULL;
CREATE INDEX executions_batch ON jobsd.executions (batch_id, started_at) WHERE batch_id IS NOT NULL;
CREATE INDEX executions_alike ON jobsd.executions (fingerprint, started_at) WHERE fingerprint IS NOT NULL;
CREATE INDEX executions_task_troubled ON jobsd.executions (task, outcome, started_at) WHERE outcome <> 'succeeded';

-- Lengths are counted in buckets a tenth apart: bucket b holds those over 1.1^(b-1) ms and up to 1.1^b ms, 0 what is
-- shorter. The middle of a bucket is at most 5 % off (DDSketch: Masson, Rim, Lee, VLDB 2019).
CREATE FUNCTION jobsd.bucket(seconds double precision) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN seconds > 0.001 THEN ceil(ln(seconds * 1000) / ln(1.1::double precision))::smallint
            WHEN seconds <= 0.001 THEN 0 END;

CREATE FUNCTION jobsd.bucket_middle(bucket double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bucket > 0 THEN power(1.1::double precision, bucket) / 1050 WHEN bucket <= 0 THEN 0.001 END;

-- Executions that started in an hour or a day (of UTC), of one task in one queue. Lengths are those of executions that
-- came to an end of their own; waits those from the time at which one was due until it started.
CREATE TABLE jobsd.statistics (
    span             text        NOT NULL CONSTRAINT statistics_span_known CHECK (span IN ('hour', 'day')),
    at               timestamptz NOT NULL,
    task             text        NOT NULL,
    queue            text        NOT NULL,
    runs             bigint      NOT NULL,
    succeeded        bigint      NOT NULL,
    failed           bigint      NOT NULL,
    timed_out        bigint      NOT NULL,
    snoozed          bigint      NOT NULL,
    dropped          bigint      NOT NULL,
    cancelled        bigint      NOT NULL,
    interrupted      bigint      NOT NULL,
    lost             bigint      NOT NULL,
    expired          bigint      NOT NULL,
    retries          bigint      NOT NULL,
    archived         bigint      NOT NULL,
    duration_ms      bigint      NOT NULL,
    duration_buckets smallint[]  NOT NULL,
    duration_counts  bigint[]    NOT NULL,
    wait_buckets     smallint[]  NOT NULL,
    wait_counts      bigint[]    NOT NULL
);

CREATE TABLE jobsd.statistics_changes (LIKE jobsd.statistics);

ALTER TABLE jobsd.statistics ADD PRIMARY KEY (span, task, at, queue);
CREATE INDEX statistics_at ON jobsd.statistics (span, at);

-- Failures of a task that are alike.
CREATE TABLE jobsd.errors (
    task          text        NOT NULL,
    fingerprint   text        NOT NULL,
    error_type    text        NOT NULL,
    failures      bigint      NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    job_id        text        NOT NULL,
    message       text
);

COMMENT ON COLUMN jobsd.errors.job_id IS 'of the latest; so is the message';

CREATE TABLE jobsd.errors_changes (LIKE jobsd.errors);

ALTER TABLE jobsd.errors ADD PRIMARY KEY (task, fingerprint);
CREATE INDEX errors_last_seen ON jobsd.errors (last_seen_at);

-- Both are emptied all the time.
ALTER TABLE jobsd.statistics_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE jobsd.errors_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
