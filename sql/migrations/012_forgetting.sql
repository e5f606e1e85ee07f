-- Endpoints that told nothing and did not come back, and dead letters, are forgotten by housekeeping.

CREATE FUNCTION forget_endpoints(unseen interval, most integer, at_once integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    candidates integer[];
    forgotten integer[];
BEGIN
    IF unseen < interval '1 day' THEN
        RAISE EXCEPTION 'endpoints unseen for % may just be asleep; give at least one day', unseen
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (SELECT count(*) FROM endpoint WHERE NOT registered) > most THEN
        unseen := interval '1 day';
    END IF;
    SELECT array_agg(id) INTO candidates FROM (
        SELECT e.id
        FROM endpoint e
        WHERE NOT e.registered AND coalesce(e.last_seen_at, e.first_seen_at) < now() - unseen
          AND NOT EXISTS (SELECT FROM endpoint_operation o WHERE o.endpoint_id = e.id AND o.registration_id IS NULL)
          -- Object 10240 is our own: that it registered is no value that a device told.
          AND NOT EXISTS (SELECT FROM resource r JOIN resource_type t ON t.id = r.resource_type_id
                          WHERE r.endpoint_id = e.id AND t.object_id <> 10240)
          AND NOT EXISTS (SELECT FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
                          WHERE l.endpoint_id = e.id AND t.object_id <> 10240)
        ORDER BY e.id
        LIMIT at_once) AS found;
    IF candidates IS NULL THEN
        RETURN 0;
    END IF;
    -- Who stores values by ids that it remembers holds this table until its commit, and sees the generation after it.
    LOCK TABLE resource_latest IN SHARE ROW EXCLUSIVE MODE;
    SELECT array_agg(id) INTO forgotten FROM (
        SELECT e.id
        FROM endpoint e
        WHERE e.id = ANY (candidates) AND NOT e.registered AND coalesce(e.last_seen_at, e.first_seen_at) < now() - unseen
          AND NOT EXISTS (SELECT FROM endpoint_operation o
                          WHERE o.endpoint_id = e.id AND (o.registration_id IS NULL OR o.status = 'SENDING'))
          AND NOT EXISTS (SELECT FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
                          WHERE l.endpoint_id = e.id AND t.object_id <> 10240)
        ORDER BY e.id
        FOR UPDATE SKIP LOCKED) AS found;
    IF forgotten IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM endpoint_operation WHERE endpoint_id = ANY (forgotten);
    DELETE FROM resource_latest WHERE endpoint_id = ANY (forgotten);
    DELETE FROM endpoint WHERE id = ANY (forgotten);
    UPDATE catalog_generation SET generation = generation + 1;
    RETURN cardinality(forgotten);
END
$body$;
COMMENT ON FUNCTION forget_endpoints IS 'Delete up to so many endpoints that are not registered, have no values and no operations of users, and were not seen for so long; where more than `most` are not registered, for a day. Returns how many.';
REVOKE ALL ON FUNCTION forget_endpoints FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_endpoints TO flownexus_housekeeping;
GRANT SELECT, DELETE ON dead_letter TO flownexus_housekeeping;
