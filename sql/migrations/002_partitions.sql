-- Monthly partitions, made ahead and dropped by the housekeeping function, which owns no table.

CREATE FUNCTION make_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    parent text;
    first_day timestamptz;
    name text;
    made integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['resource', 'event', 'event_resource'] LOOP
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
COMMENT ON FUNCTION make_partitions IS 'Make this month''s partitions and those of the months ahead; returns how many were missing.';

CREATE FUNCTION drop_partitions(retention interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    parent text;
    name text;
    dropped integer := 0;
BEGIN
    IF retention < interval '1 day' THEN
        RAISE EXCEPTION 'a retention of % would drop what is being written; give at least one day', retention
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- event_resource first: it points to the others.
    FOREACH parent IN ARRAY ARRAY['event_resource', 'event', 'resource'] LOOP
        FOR name IN
            SELECT child.relname
            FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
            WHERE i.inhparent = ('public.' || parent)::regclass
              AND child.relname ~ ('^' || parent || '_y\d+m\d\d$')
              AND to_timestamp(substring(child.relname from '_y(\d+m\d\d)$'), 'YYYY"m"MM') + interval '1 month'
                  <= now() - retention
            ORDER BY child.relname
        LOOP
            EXECUTE format('DROP TABLE public.%I', name);
            dropped := dropped + 1;
        END LOOP;
        EXECUTE format('DELETE FROM public.%I WHERE time < %L', parent || '_default', now() - retention);
    END LOOP;
    RETURN dropped;
END
$body$;
COMMENT ON FUNCTION drop_partitions IS 'Drop every partition that ended longer than the retention ago; returns how many.';

REVOKE ALL ON FUNCTION make_partitions, drop_partitions FROM PUBLIC;
DO $body$ BEGIN PERFORM make_partitions(2); END $body$;
