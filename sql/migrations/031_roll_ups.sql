-- Hourly roll-ups of numeric values: kept longer than the values, and read in their place where a range is wide.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE resource_hourly (
    time                 timestamptz NOT NULL,
    endpoint_id          integer NOT NULL,
    resource_type_id     integer NOT NULL,
    object_instance_id   integer NOT NULL,
    resource_instance_id integer,
    minimum              double precision NOT NULL,
    maximum              double precision NOT NULL,
    mean                 double precision NOT NULL,
    last                 double precision NOT NULL,
    last_at              timestamptz NOT NULL,
    count                bigint NOT NULL
) PARTITION BY RANGE (time);
CREATE UNIQUE INDEX resource_hourly_series ON resource_hourly
    (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time) NULLS NOT DISTINCT;
CREATE TABLE resource_hourly_default PARTITION OF resource_hourly DEFAULT;
COMMENT ON TABLE resource_hourly IS 'What the numeric values of a resource (instance) were in an hour.';
COMMENT ON COLUMN resource_hourly.time IS 'The beginning of the hour, in UTC.';
COMMENT ON COLUMN resource_hourly.last IS 'The value of the newest time in the hour, last_at.';

-- Rows lie in the order in which they were stored, so a few kilobytes tell where those of a time are.
CREATE INDEX resource_stored ON resource USING brin (stored_at) WITH (pages_per_range = 64, autosummarize = on);

CREATE TABLE roll_up_state (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    rolled_until  timestamptz NOT NULL,
    pending_until timestamptz NOT NULL,
    pending_xid   xid8 NOT NULL
);
INSERT INTO roll_up_state (rolled_until, pending_until, pending_xid)
SELECT oldest, oldest, pg_snapshot_xmax(pg_current_snapshot())
FROM (SELECT coalesce(min(stored_at), clock_timestamp()) AS oldest FROM resource) AS r;
COMMENT ON TABLE roll_up_state IS 'One row: how far values are rolled up, by the time when they were stored.';
COMMENT ON COLUMN roll_up_state.rolled_until IS 'What was stored before it is in resource_hourly, once.';
COMMENT ON COLUMN roll_up_state.pending_until IS 'How far the values may be rolled up that were committed when no transaction before pending_xid was left.';

-- A mean of batches is weighted, and sums are of 2^-40 of the values: no device's numbers overflow, or underflow, for all
-- the others.
CREATE FUNCTION roll_up(longest interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC'
AS $body$
DECLARE
    state roll_up_state;
    reached timestamptz;
    scale CONSTANT double precision := 2::double precision ^ 40;
BEGIN
    SELECT * INTO state FROM roll_up_state FOR UPDATE;
    IF state.pending_until > state.rolled_until THEN
        IF pg_snapshot_xmin(pg_current_snapshot()) < state.pending_xid THEN
            RETURN false; -- somebody may still commit values that were stored before
        END IF;
        reached := least(state.pending_until, state.rolled_until + longest);
        INSERT INTO resource_hourly AS known
              (time, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, minimum, maximum, mean,
               last, last_at, count)
        SELECT hour, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
               min(number), max(number),
               greatest(min(scaled), least(max(scaled), sum(scaled) / count(*))) * scale,
               (array_agg(number ORDER BY time DESC, id DESC))[1], max(time), count(*)
        FROM (
            SELECT *, CASE WHEN abs(number) < 1e-200 THEN 0 ELSE number / scale END AS scaled
            FROM (
            SELECT date_trunc('hour', r.time) AS hour, r.time, r.id, r.endpoint_id, r.resource_type_id,
                   r.object_instance_id, r.resource_instance_id,
                   coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                            r.boolean_value::integer::double precision) AS number
            FROM resource r
            WHERE r.stored_at >= state.rolled_until AND r.stored_at < reached
            ) AS stored
        ) AS added
        WHERE number IS NOT NULL
        GROUP BY hour, endpoint_id, resource_type_id, object_instance_id, resource_instance_id
        ORDER BY 2, 3, 4, 5, 1
        ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time) DO UPDATE SET
            minimum = least(known.minimum, excluded.minimum),
            maximum = greatest(known.maximum, excluded.maximum),
            mean = known.mean * (known.count::double precision / (known.count + excluded.count))
                 + excluded.mean * (excluded.count::double precision / (known.count + excluded.count)),
            last = CASE WHEN excluded.last_at >= known.last_at THEN excluded.last ELSE known.last END,
            last_at = greatest(known.last_at, excluded.last_at),
            count = known.count + excluded.count;
        UPDATE roll_up_state SET rolled_until = reached;
        IF reached < state.pending_until THEN
            RETURN true;
        END IF;
    END IF;
    -- A minute for whoever had a value's time before its transaction had a number.
    UPDATE roll_up_state
    SET pending_until = greatest(rolled_until, clock_timestamp() - interval '1 minute'),
        pending_xid = pg_snapshot_xmax(pg_current_snapshot());
    RETURN false;
END
$body$;
COMMENT ON FUNCTION roll_up IS
    'Bring resource_hourly up to date with values that were stored since, at most so long at once; returns whether more waits. Run again, it adds nothing twice.';
REVOKE ALL ON FUNCTION roll_up FROM PUBLIC;

-- As in 005; where a bucket is an hour or longer, buckets begin with whole hours, and whole hours that are rolled up
-- are read from resource_hourly.
CREATE OR REPLACE FUNCTION series(
    endpoints text[], paths text[], from_time timestamptz, to_time timestamptz, buckets integer DEFAULT 300
) RETURNS TABLE (
    "time" timestamptz,
    endpoint text,
    path text,
    minimum double precision,
    maximum double precision,
    mean double precision,
    last double precision,
    count bigint
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH asked AS (
        SELECT CASE WHEN hourly
                    THEN make_interval(
                        hours => ceil(extract(epoch FROM (to_time - hour_before) / greatest(buckets, 1)) / 3600)::integer)
                    ELSE width END AS width,
               CASE WHEN hourly THEN hour_before ELSE from_time END AS origin,
               CASE WHEN hourly THEN first_hour ELSE to_time END AS hours_from,
               CASE WHEN hourly THEN greatest(first_hour, last_hour) ELSE to_time END AS hours_to
        FROM (
            SELECT (to_time - from_time) / greatest(buckets, 1) AS width,
                   (to_time - from_time) / greatest(buckets, 1) >= interval '1 hour' AS hourly,
                   date_trunc('hour', from_time, 'UTC') AS hour_before,
                   date_trunc('hour', from_time + interval '1 hour' - interval '1 microsecond', 'UTC') AS first_hour,
                   date_trunc('hour', least(to_time, s.rolled_until - interval '1 minute'), 'UTC') AS last_hour
            FROM roll_up_state s
        ) AS hours
    )
    SELECT greatest(date_bin(a.width, v.time, a.origin), from_time), e.name, p.path, min(v.minimum), max(v.maximum),
           sum(v.mean * v.count) / sum(v.count), (array_agg(v.last ORDER BY v.last_at DESC))[1], sum(v.count)::bigint
    FROM (SELECT DISTINCT unnest(endpoints)) AS n (name)
    JOIN endpoint e ON e.name = n.name
    CROSS JOIN (SELECT DISTINCT unnest(paths)) AS p (path)
    JOIN resource_type t
        ON t.object_id = split_part(p.path, '/', 2)::integer AND t.resource_id = split_part(p.path, '/', 4)::integer
    CROSS JOIN asked a
    CROSS JOIN LATERAL (
        SELECT r.time, r.time AS last_at, r.number AS minimum, r.number AS maximum,
               CASE WHEN abs(r.number) < 1e-200 THEN 0 ELSE r.number END AS mean, r.number AS last, 1::bigint AS count
        FROM (
            SELECT r.time,
                   coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                            r.boolean_value::integer::double precision) AS number
            FROM resource r
            WHERE r.endpoint_id = e.id
              AND r.resource_type_id = t.id
              AND r.object_instance_id = split_part(p.path, '/', 3)::integer
              AND r.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
              AND r.time >= from_time AND r.time < to_time AND r.time < a.hours_from
            UNION ALL
            SELECT r.time,
                   coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                            r.boolean_value::integer::double precision)
            FROM resource r
            WHERE r.endpoint_id = e.id
              AND r.resource_type_id = t.id
              AND r.object_instance_id = split_part(p.path, '/', 3)::integer
              AND r.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
              AND r.time >= from_time AND r.time < to_time AND r.time >= a.hours_to
        ) AS r
        WHERE r.number IS NOT NULL
        UNION ALL
        SELECT h.time, h.last_at, h.minimum, h.maximum, h.mean, h.last, h.count
        FROM resource_hourly h
        WHERE h.endpoint_id = e.id
          AND h.resource_type_id = t.id
          AND h.object_instance_id = split_part(p.path, '/', 3)::integer
          AND h.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
          AND h.time >= from_time AND h.time < to_time AND h.time >= a.hours_from AND h.time < a.hours_to
    ) v
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION series IS
    'Numeric values of resources over time, in at most so many buckets each: paths such as /3303/0/5700. Where a bucket is an hour or longer, it is of whole hours, from roll-ups.';

-- As in 002, of every table that has partitions.
CREATE OR REPLACE FUNCTION make_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    parent text;
    first_day timestamptz;
    name text;
    made integer := 0;
BEGIN
    FOR parent IN
        SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace ORDER BY relname
    LOOP
        FOR ahead IN 0..months_ahead LOOP
            first_day := date_trunc('month', now()) + make_interval(months => ahead);
            name := parent || to_char(first_day, '"_y"YYYY"m"MM');
            CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', name, parent);
            -- Rows that came before their partition wait in the default one, and would refuse it.
            EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
            EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE time >= %L AND time < %L RETURNING *)'
                           ' INSERT INTO public.%I SELECT * FROM moved',
                           parent || '_default', first_day, first_day + interval '1 month', name);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, name, first_day, first_day + interval '1 month');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$body$;
DO $body$ BEGIN PERFORM make_partitions(2); END $body$;

CREATE FUNCTION drop_partitions_of(parent text, retention interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    IF retention < interval '1 day' THEN
        RAISE EXCEPTION 'a retention of % would drop what is being written; give at least one day', retention
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF parent NOT IN (SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace) THEN
        RAISE EXCEPTION '% has no partitions', parent USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR name IN
        SELECT child.relname
        FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
        WHERE i.inhparent = ('public.' || quote_ident(parent))::regclass
          AND child.relname ~ ('^' || parent || '_y\d+m\d\d$')
          AND to_timestamp(substring(child.relname from '_y(\d+m\d\d)$'), 'YYYY"m"MM') + interval '1 month'
              <= now() - retention
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE public.%I', name);
        dropped := dropped + 1;
    END LOOP;
    EXECUTE format('DELETE FROM public.%I WHERE time < %L', parent || '_default', now() - retention);
    RETURN dropped;
END
$body$;
COMMENT ON FUNCTION drop_partitions_of IS 'Drop every partition of a table that ended longer than the retention ago; returns how many.';
REVOKE ALL ON FUNCTION drop_partitions_of FROM PUBLIC;

GRANT EXECUTE ON FUNCTION roll_up, drop_partitions_of TO flownexus_housekeeping;
GRANT SELECT ON resource_hourly, roll_up_state TO flownexus_api, flownexus_console, flownexus_grafana, flownexus_reader;
