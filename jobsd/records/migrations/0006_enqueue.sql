-- SELECT jobsd.enqueue('task', args => …): a job from plain SQL or from a trigger, in the transaction at hand.

-- `digits` random digits of lower-case Crockford base32, at most 15: the low five bits of the bytes of a UUID, but for
-- its seventh byte, which says of which kind it is.
CREATE FUNCTION jobsd.random_digits(digits integer) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', (get_byte(drawn.bytes, n) & 31) + 1, 1), '')
    FROM (SELECT uuid_send(gen_random_uuid()) AS bytes) AS drawn, generate_series(0, 15) AS n
    WHERE n <> 6 AND n <= CASE WHEN digits > 6 THEN digits ELSE digits - 1 END
);

-- A job's id: as clients make them, of 48 bits of epoch ms and 80 more, which begin here with the microseconds. So ids
-- of one session rise, and its jobs run in the order in which they were enqueued.
CREATE FUNCTION jobsd.new_id(at timestamptz) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN (
    SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', ((made.number >> 5 * n) & 31)::integer + 1, 1), ''
                      ORDER BY n DESC)
    FROM (SELECT (floor(us / 1000)::bigint << 10) + (us % 1000)::bigint AS number
          FROM floor(extract(epoch FROM at) * 1000000) AS us) AS made, generate_series(0, 11) AS n
) || jobsd.random_digits(14);

CREATE FUNCTION jobsd.refuse(what text, given text, allowed text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    message text := format('jobsd.enqueue: %s is %s; allowed is %s', what, coalesce(given, 'null'), allowed);
BEGIN
    IF hint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, HINT = hint;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message;
END
$$;

CREATE FUNCTION jobsd.refuse_instant(what text, given timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF given < '1970-01-01 00:00:00+00' OR given >= '10000-01-01 00:00:00+00' THEN
        PERFORM jobsd.refuse(what, given::text, 'an instant of the years 1970 to 9999');
    END IF;
END
$$;

-- What is refused here is what the client refuses, and `payload` what it would send (jobsd/store/codec.py).
CREATE FUNCTION jobsd.enqueue(
    task     text,
    args     jsonb       DEFAULT '{}',
    queue    text        DEFAULT 'default',
    delay    interval    DEFAULT NULL,
    at       timestamptz DEFAULT NULL,
    id       text        DEFAULT NULL,
    timeout  interval    DEFAULT NULL,
    retries  integer     DEFAULT NULL,
    deadline timestamptz DEFAULT NULL,
    start_by timestamptz DEFAULT NULL,
    headers  jsonb       DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here        timestamptz := clock_timestamp();
    job_id      text        := coalesce(id, jobsd.new_id(here));
    incarnation text        := 'o' || jobsd.random_digits(11);
    due         text        := '';
    options     jsonb;
    payload     text;
    size_bytes  integer;
BEGIN
    IF coalesce(task, '') = '' THEN
        PERFORM jobsd.refuse('task', quote_nullable(task), 'the name of a task');
    ELSIF coalesce(jsonb_typeof(args), 'null') NOT IN ('object', 'array') THEN
        PERFORM jobsd.refuse('args', 'a JSON ' || jsonb_typeof(args), 'an object, or an array of arguments by position',
                             'A single argument by its name: args => jsonb_build_object(''name'', value).');
    ELSIF queue IS NULL OR queue !~ '^[A-Za-z0-9._-]{1,128}$' AND (
            queue !~ '^[A-Za-z0-9._:{}-]+$' OR length(queue) > 256 OR position(':' IN queue) = 0
            OR queue ~ '^(jobsd|arq:job|arq:in-progress|arq:result):') THEN
        PERFORM jobsd.refuse('queue', quote_nullable(left(queue, 300)),
                             '1 to 128 of A-Z a-z 0-9 . _ - (or the raw key of an arq queue, with a colon)');
    ELSIF job_id !~ '^[A-Za-z0-9._:-]{1,128}$' THEN
        PERFORM jobsd.refuse('id', quote_nullable(left(id, 300)), '1 to 128 of A-Z a-z 0-9 . _ : -');
    ELSIF at IS NOT NULL AND delay IS NOT NULL THEN
        PERFORM jobsd.refuse('at', at::text, 'either at or delay, not both');
    ELSIF delay < '0' OR delay > '1000 years' THEN
        PERFORM jobsd.refuse('delay', delay::text, 'an interval from 0 to 1000 years');
    ELSIF timeout < '1 millisecond' OR timeout > '1000 years' THEN
        PERFORM jobsd.refuse('timeout', timeout::text, 'an interval from 1 millisecond to 1000 years');
    ELSIF retries NOT BETWEEN 0 AND 1000 THEN
        PERFORM jobsd.refuse('retries', retries::text, 'a whole number, 0 to 1000');
    ELSIF headers IS NOT NULL AND jsonb_typeof(headers) <> 'object' THEN
        PERFORM jobsd.refuse('headers', 'a JSON ' || jsonb_typeof(headers), 'an object');
    END IF;
    PERFORM jobsd.refuse_instant('at', at), jobsd.refuse_instant('deadline', deadline),
            jobsd.refuse_instant('start_by', start_by);
    size_bytes := octet_length(convert_to(headers::text, 'UTF8'));
    IF size_bytes > 8192 THEN
        PERFORM jobsd.refuse('headers', format('%s bytes of JSON', size_bytes), 'at most 8192');
    END IF;

    IF delay IS NOT NULL THEN
        due := '+' || round(extract(epoch FROM delay) * 1000)::bigint;
    ELSIF at IS NOT NULL THEN
        due := floor(extract(epoch FROM at) * 1000)::bigint;
    END IF;
    options := jsonb_strip_nulls(jsonb_build_object(
        't', round(extract(epoch FROM timeout) * 1000)::bigint,
        'r', retries,
        'dl', floor(extract(epoch FROM deadline) * 1000)::bigint,
        'sb', floor(extract(epoch FROM start_by) * 1000)::bigint));
    payload := concat(
        '{"i":"', incarnation, '","t":null,"f":', to_json(task),
        ',"a":', CASE jsonb_typeof(args) WHEN 'array' THEN args ELSE '[]' END,
        ',"k":', CASE jsonb_typeof(args) WHEN 'object' THEN args ELSE '{}' END,
        ',"et":', floor(extract(epoch FROM here) * 1000)::bigint,
        CASE WHEN options <> '{}' THEN ',"o":' || options::text END,
        CASE WHEN headers <> '{}' THEN ',"h":' || headers::text END,
        '}');
    size_bytes := octet_length(convert_to(payload, 'UTF8'));
    IF size_bytes > 1048576 THEN
        PERFORM jobsd.refuse('args', format('%s bytes of JSON', size_bytes), 'at most 1048576, with all else of the job',
                             'Pass a reference to the data instead.');
    END IF;
    PERFORM jobsd.put_in_outbox(json_build_array(json_build_object(
        'id', job_id, 'i', incarnation, 'q', queue, 'w', due, 'p', payload)));
    RETURN job_id;
END
$$;

COMMENT ON FUNCTION jobsd.enqueue IS
'Enqueues a job in the transaction at hand, and returns its id: SELECT jobsd.enqueue(''email:send'', args => ''{"to": 5}'').
It runs if and only if the transaction commits. args: an object of arguments by name, or an array by position. At most
one of delay and at. An id that a job of the outbox has already is returned as it is, and nothing is stored.
A role needs: GRANT USAGE ON SCHEMA jobsd; GRANT EXECUTE ON FUNCTION jobsd.enqueue.';

-- Whoever may call it may have any task run, with any arguments.
REVOKE EXECUTE ON FUNCTION jobsd.enqueue, jobsd.new_id, jobsd.random_digits, jobsd.refuse, jobsd.refuse_instant
FROM PUBLIC;
