-- What jobs have committed in Postgres themselves: the effect that ends a job, and the steps that it need not repeat.

-- A role that is called like the schema would have it first in its search_path: the application's tables would lie among
-- jobsd's, and its `errors` and `steps` would be those of jobsd in its tasks.
DO $$
BEGIN
    IF current_user = 'jobsd' AND current_setting('search_path') = '"$user", public' THEN
        EXECUTE format('ALTER ROLE jobsd IN DATABASE %I SET search_path = public', current_database());
    END IF;
END
$$;

-- A job has one effect, whichever of its runs commits first: the key judges. The row is inserted first in the
-- transaction of ctx.transaction(), and commits with what the task writes there. `token` names the run.
CREATE TABLE jobsd.effects (
    job_id       text        NOT NULL,
    incarnation  text        NOT NULL,
    token        text        NOT NULL,
    task         text        NOT NULL,
    result       text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT effects_once PRIMARY KEY (job_id, incarnation)
) WITH (fillfactor = 90);

COMMENT ON COLUMN jobsd.effects.result IS 'JSON of what the task gave to ctx.set_result()';

CREATE INDEX effects_created ON jobsd.effects USING brin (created_at);

-- A step of a job runs once and is remembered on its other attempts; of a sleep the result is when it is over, epoch ms.
CREATE TABLE jobsd.steps (
    job_id       text        NOT NULL,
    incarnation  text        NOT NULL,
    key          text        NOT NULL,
    position     integer     NOT NULL,
    token        text        NOT NULL,
    result       text,
    at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT steps_once PRIMARY KEY (job_id, incarnation, key)
) WITH (fillfactor = 90);

COMMENT ON COLUMN jobsd.steps.position IS 'the number of the call within its attempt; the first is 1';
COMMENT ON COLUMN jobsd.steps.at IS 'when it ran; of a sleep, when it is over';

CREATE INDEX steps_at ON jobsd.steps USING brin (at);
