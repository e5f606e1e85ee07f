-- What has ended is kept for a time; what deletes it can delete nothing else.

CREATE INDEX endpoint_operation_finished ON endpoint_operation (finished_at) WHERE finished_at IS NOT NULL;

CREATE FUNCTION forget_operations(retention interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    forgotten integer;
BEGIN
    IF retention < interval '1 day' THEN
        RAISE EXCEPTION 'a retention of % is too short: at least one day', retention
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM endpoint_operation
    WHERE id = ANY (ARRAY(
        SELECT o.id FROM endpoint_operation o
        WHERE o.finished_at < clock_timestamp() - retention
          -- What a registration has observed, and what was taken back of it, is known by these.
          AND NOT (o.operation_type = 'cancel-observe' AND o.status = 'CONFIRMED')
          AND (o.registration_id IS NULL OR NOT EXISTS (
                SELECT FROM endpoint e WHERE e.id = o.endpoint_id AND e.registration_id = o.registration_id))
        ORDER BY o.finished_at
        LIMIT most
        FOR UPDATE OF o SKIP LOCKED));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;
COMMENT ON FUNCTION forget_operations IS 'Delete operations that ended longer than the retention ago, at most so many; returns how many.';
REVOKE ALL ON FUNCTION forget_operations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_operations TO flownexus_housekeeping;
