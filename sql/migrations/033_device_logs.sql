-- Lines of devices' logs, apart from values: searched by text, and kept for a time of their own.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE log_resource (
    object_id   integer NOT NULL CHECK (object_id BETWEEN 0 AND 65534),
    resource_id integer NOT NULL CHECK (resource_id BETWEEN 0 AND 65534),
    cumulative  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (object_id, resource_id)
);
INSERT INTO log_resource (object_id, resource_id, cumulative) VALUES (20, 4014, true);
COMMENT ON TABLE log_resource IS 'Resources whose values are lines of a log, and are kept in device_log instead of resource.';
COMMENT ON COLUMN log_resource.cumulative IS 'Each value has all that the log still holds, as of object 20: only what is new in it is kept.';

-- Whoever remembers which resources these are asks anew.
CREATE FUNCTION log_resource_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $body$
BEGIN
    UPDATE catalog_generation SET generation = generation + 1;
    RETURN NULL;
END
$body$;
REVOKE ALL ON FUNCTION log_resource_changed FROM PUBLIC;
CREATE TRIGGER log_resource_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON log_resource
FOR EACH STATEMENT EXECUTE FUNCTION log_resource_changed();
COMMENT ON TABLE catalog_generation IS 'One row; rises when endpoints are deleted, and when models or log_resource change.';

CREATE SEQUENCE device_log_id;
CREATE TABLE device_log (
    time               timestamptz NOT NULL,
    id                 bigint NOT NULL DEFAULT nextval('device_log_id'),
    stored_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    endpoint_id        integer NOT NULL,
    object_id          integer NOT NULL,
    object_instance_id integer NOT NULL,
    resource_id        integer NOT NULL,
    severity           smallint CHECK (severity BETWEEN 0 AND 7),
    source             text,
    message            text,
    raw                bytea,
    PRIMARY KEY (time, id),
    CHECK ((message IS NULL) <> (raw IS NULL))
) PARTITION BY RANGE (time);
CREATE INDEX device_log_endpoint ON device_log (endpoint_id, time, id);
CREATE TABLE device_log_default PARTITION OF device_log DEFAULT;
COMMENT ON TABLE device_log IS 'An entry of a device''s log: a line, or an element of an array in JSON or CBOR.';
COMMENT ON COLUMN device_log.time IS 'The device''s time of the entry, else that of the value it came in.';
COMMENT ON COLUMN device_log.severity IS '0 emergency to 7 debug (RFC 5424, 6.2.1); null where it is not told.';
COMMENT ON COLUMN device_log.source IS 'The part of the device that tells it, such as APP-NAME of syslog.';
COMMENT ON COLUMN device_log.raw IS 'What is neither text nor such an array.';

CREATE TABLE device_log_tail (
    endpoint_id          integer NOT NULL,
    object_id            integer NOT NULL,
    object_instance_id   integer NOT NULL,
    resource_id          integer NOT NULL,
    resource_instance_id integer,
    content              bytea NOT NULL,
    UNIQUE NULLS NOT DISTINCT (endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id)
);
COMMENT ON TABLE device_log_tail IS 'The newest value of a log that is cumulative: what is new in the next one is told by it.';

CREATE VIEW log_entry AS
SELECT l.time, l.id, e.name AS endpoint,
       '/' || l.object_id || '/' || l.object_instance_id || '/' || l.resource_id AS path,
       l.severity,
       ('{emergency,alert,critical,error,warning,notice,info,debug}'::text[])[l.severity + 1] AS severity_name,
       l.source, coalesce(l.message, encode(l.raw, 'hex')) AS message, l.raw IS NOT NULL AS hex
FROM device_log l
JOIN endpoint e ON e.id = l.endpoint_id;
COMMENT ON VIEW log_entry IS 'Entries of devices'' logs, as people and dashboards read them.';
COMMENT ON COLUMN log_entry.message IS 'The text; of what is no text the bytes in hex.';
COMMENT ON COLUMN log_entry.hex IS 'The message is bytes in hex.';

DO $body$ BEGIN PERFORM make_partitions(2); END $body$;

GRANT SELECT ON log_resource TO flownexus_ingest, flownexus_dispatch;
GRANT INSERT ON device_log TO flownexus_ingest, flownexus_dispatch;
GRANT USAGE ON SEQUENCE device_log_id TO flownexus_ingest, flownexus_dispatch;
GRANT SELECT, INSERT, UPDATE (content) ON device_log_tail TO flownexus_ingest, flownexus_dispatch;
GRANT SELECT ON log_entry TO flownexus_api, flownexus_grafana, flownexus_reader;
GRANT SELECT ON log_resource, device_log TO flownexus_grafana, flownexus_reader;
