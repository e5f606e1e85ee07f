-- Endpoints have tags and are chosen by a filter, and an operation goes to all that it fits.
-- narrows: what is revoked from everybody are functions that are new.

CREATE TABLE endpoint_tag (
    endpoint_id integer NOT NULL REFERENCES endpoint ON DELETE CASCADE,
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 63),
    value       text NOT NULL CHECK (length(value) <= 255),
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (endpoint_id, key)
);
COMMENT ON TABLE endpoint_tag IS 'What people say of an endpoint, such as site=berlin.';
COMMENT ON COLUMN endpoint_tag.set_by IS 'The name of the caller that set it last.';
GRANT SELECT ON endpoint_tag TO flownexus_ingest, flownexus_housekeeping, flownexus_grafana, flownexus_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON endpoint_tag TO flownexus_api;

-- Who may not read values asks by this for three of object 3 alone.
CREATE FUNCTION device_text(of_endpoint integer, of_resource integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.string_value
    FROM resource_type t
    JOIN resource_latest l ON l.endpoint_id = of_endpoint AND l.resource_type_id = t.id AND l.object_instance_id = 0
    WHERE t.object_id = 3 AND t.resource_id = of_resource AND of_resource IN (0, 1, 3)
    ORDER BY l.time DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION device_text IS
    'The newest manufacturer (0), model number (1) or firmware version (3) that a device told of itself.';

-- The tree comes from flownexus/operations/filter.py, as one parameter: {"all"}, {"any"}, {"not"}, or a comparison. Its
-- branches are statements: an expression that has a subquery costs many times as much, whichever part is taken.
CREATE FUNCTION endpoint_matches(e endpoint, filter jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts jsonb := coalesce(filter -> 'all', filter -> 'any');
    pattern text := filter ->> 'like';
    wanted text := filter ->> 'value';
    at timestamptz;
BEGIN
    IF parts IS NOT NULL THEN
        FOR place IN 0 .. jsonb_array_length(parts) - 1 LOOP
            IF endpoint_matches(e, parts -> place) <> (filter ? 'all') THEN
                RETURN filter ? 'any';
            END IF;
        END LOOP;
        RETURN filter ? 'all';
    ELSIF filter ? 'not' THEN
        RETURN NOT endpoint_matches(e, filter -> 'not');
    END IF;
    CASE filter ->> 'field'
        WHEN 'name' THEN
            RETURN e.name LIKE pattern;
        WHEN 'tag' THEN
            RETURN EXISTS (SELECT FROM endpoint_tag t
                           WHERE t.endpoint_id = e.id AND t.key = filter ->> 'key' AND t.value LIKE pattern);
        WHEN 'manufacturer' THEN
            RETURN coalesce(device_text(e.id, 0) LIKE pattern, false);
        WHEN 'model' THEN
            RETURN coalesce(device_text(e.id, 1) LIKE pattern, false);
        WHEN 'fw' THEN
            RETURN coalesce(device_text(e.id, 3) LIKE pattern, false);
        WHEN 'registered' THEN
            RETURN (presence(e) <> 'offline') = wanted::boolean;
        WHEN 'presence' THEN
            RETURN wanted = presence(e);
        WHEN 'object' THEN
            RETURN EXISTS (SELECT FROM unnest(e.objects) AS has WHERE starts_with(has || '/', '/' || wanted || '/'));
        WHEN 'last_seen' THEN
            at := coalesce((filter ->> 'time')::timestamptz,
                           clock_timestamp() - make_interval(secs => (filter ->> 'seconds_ago')::double precision));
            RETURN CASE filter ->> 'operator' WHEN '<' THEN coalesce(e.last_seen_at, '-infinity') < at
                                              WHEN '>' THEN coalesce(e.last_seen_at, '-infinity') > at END;
    END CASE;
END
$$;
COMMENT ON FUNCTION endpoint_matches IS 'Whether an endpoint fits a filter.';
REVOKE ALL ON FUNCTION device_text, endpoint_matches FROM PUBLIC;
GRANT EXECUTE ON FUNCTION awake_time, presence TO flownexus_ingest, flownexus_housekeeping;
GRANT EXECUTE ON FUNCTION device_text, endpoint_matches
    TO flownexus_ingest, flownexus_api, flownexus_housekeeping, flownexus_grafana, flownexus_reader;

CREATE TABLE batch (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    filter              text NOT NULL,
    operation_type      text NOT NULL,
    targets             text[] NOT NULL,
    endpoints           integer NOT NULL DEFAULT 0,
    left_out            integer NOT NULL DEFAULT 0,
    requested_by        text NOT NULL,
    idempotency_key     text CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    request_fingerprint bytea,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    cancelled_at        timestamptz,
    cancelled_by        text,
    CHECK ((idempotency_key IS NULL) = (request_fingerprint IS NULL)),
    CHECK ((cancelled_at IS NULL) = (cancelled_by IS NULL))
);
CREATE UNIQUE INDEX batch_idempotency_key ON batch (requested_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
COMMENT ON TABLE batch IS 'One operation that was queued for each endpoint that fitted a filter.';
COMMENT ON COLUMN batch.endpoints IS 'For how many it was queued.';
COMMENT ON COLUMN batch.left_out IS 'How many it fitted, too, but had as many operations waiting as may.';

ALTER TABLE endpoint_operation ADD COLUMN batch_id bigint REFERENCES batch;
CREATE INDEX endpoint_operation_batch ON endpoint_operation (batch_id, status) WHERE batch_id IS NOT NULL;
COMMENT ON COLUMN endpoint_operation.batch_id IS 'The batch that it belongs to.';

GRANT SELECT ON batch TO flownexus_grafana, flownexus_reader;
GRANT SELECT, INSERT (filter, operation_type, targets, requested_by, idempotency_key, request_fingerprint),
    UPDATE (endpoints, left_out, cancelled_at, cancelled_by) ON batch TO flownexus_api;
GRANT SELECT (id, created_at), DELETE ON batch TO flownexus_housekeeping;
GRANT INSERT (batch_id) ON endpoint_operation TO flownexus_api;
