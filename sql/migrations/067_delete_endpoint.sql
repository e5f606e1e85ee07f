-- An endpoint is deleted with all that is kept of it. Its rows of partitioned tables, which may be millions, go later.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE endpoint_remains (
    endpoint_id integer PRIMARY KEY,
    name        text NOT NULL,
    deleted_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE endpoint_remains IS 'Deleted endpoints of which housekeeping still removes values, events and logs. No view shows them.';

CREATE FUNCTION delete_endpoint(which text, even_registered boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC'
AS $body$
DECLARE
    found endpoint%ROWTYPE;
BEGIN
    -- Who stores values by ids that it remembers holds this table until its commit, and sees the generation after it.
    LOCK TABLE resource_latest IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO found FROM endpoint WHERE name = which FOR UPDATE NOWAIT;
    IF found.id IS NULL THEN
        RETURN 'unknown';
    END IF;
    IF EXISTS (SELECT FROM device_credential
               WHERE endpoint = which AND revoked_at IS NULL AND coalesce(expires_at > statement_timestamp(), true)) THEN
        RETURN 'enrolled';
    END IF;
    IF found.registered AND coalesce(found.expires_at > statement_timestamp(), true) AND NOT even_registered THEN
        RETURN 'registered';
    END IF;
    IF EXISTS (SELECT FROM firmware_update WHERE endpoint_id = found.id AND finished_at IS NULL) THEN
        RETURN 'updating';
    END IF;
    IF EXISTS (SELECT FROM endpoint_operation WHERE endpoint_id = found.id AND status = 'SENDING') THEN
        RETURN 'sending';
    END IF;
    DELETE FROM campaign_target WHERE endpoint_id = found.id;
    DELETE FROM endpoint_operation WHERE endpoint_id = found.id;
    DELETE FROM resource_latest WHERE endpoint_id = found.id;
    DELETE FROM registration_refusal WHERE endpoint = which;
    INSERT INTO endpoint_remains (endpoint_id, name) VALUES (found.id, which);
    DELETE FROM endpoint WHERE id = found.id;
    UPDATE catalog_generation SET generation = generation + 1;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION delete_endpoint IS
    'Delete an endpoint with what is kept of it. Null when done, else what is in the way: unknown, enrolled (it has a valid credential), registered (unless it may be), updating (its firmware), sending (an operation).';

-- Index scans alone: a join of another kind would read all that is stored of all devices.
CREATE FUNCTION remove_remains(at_once integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET timezone = 'UTC'
AS $body$
DECLARE
    gone integer;
    step integer;
    removed integer;
BEGIN
    SELECT endpoint_id INTO gone FROM endpoint_remains ORDER BY deleted_at, endpoint_id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    WITH deleted AS (
        DELETE FROM event WHERE (time, id) IN (SELECT time, id FROM event WHERE endpoint_id = gone LIMIT at_once)
        RETURNING time, id
    ), links AS (
        DELETE FROM event_resource r USING deleted d WHERE r.time = d.time AND r.event_id = d.id
    )
    SELECT count(*) INTO removed FROM deleted;
    DELETE FROM resource WHERE (time, id) IN (SELECT time, id FROM resource WHERE endpoint_id = gone LIMIT at_once);
    GET DIAGNOSTICS step = ROW_COUNT;
    removed := removed + step;
    DELETE FROM device_log WHERE (time, id) IN (SELECT time, id FROM device_log WHERE endpoint_id = gone LIMIT at_once);
    GET DIAGNOSTICS step = ROW_COUNT;
    removed := removed + step;
    DELETE FROM device_log_tail WHERE endpoint_id = gone;
    IF removed = 0 THEN
        -- Last, since values that were left might have been rolled up meanwhile; the hours of one instance are few.
        DELETE FROM resource_hourly
        WHERE endpoint_id = gone
          AND (resource_type_id, object_instance_id) =
              (SELECT resource_type_id, object_instance_id FROM resource_hourly WHERE endpoint_id = gone LIMIT 1);
        GET DIAGNOSTICS removed = ROW_COUNT;
    END IF;
    IF removed = 0 THEN
        DELETE FROM endpoint_remains WHERE endpoint_id = gone;
    END IF;
    RETURN removed;
END
$body$;
COMMENT ON FUNCTION remove_remains IS 'Remove up to so many rows of each table that are left of the endpoint that was deleted first. Returns how many.';

REVOKE ALL ON FUNCTION delete_endpoint, remove_remains FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_endpoint TO flownexus_api, flownexus_console;
GRANT EXECUTE ON FUNCTION remove_remains TO flownexus_housekeeping;
