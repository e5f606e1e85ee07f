-- What the REST API reads back: history, events, dead letters, and what people did with these.

ALTER TABLE dead_letter
    ADD COLUMN settlement text CHECK (settlement IN ('replayed', 'discarded')),
    ADD COLUMN settled_by text CHECK (settled_by <> ''),
    ADD COLUMN settled_at timestamptz,
    ADD CONSTRAINT dead_letter_settled_at_check CHECK ((settlement IS NULL) = (settled_at IS NULL));
COMMENT ON COLUMN dead_letter.settlement IS 'What somebody did with it; null where it waits for somebody.';
COMMENT ON COLUMN dead_letter.settled_by IS 'The name of the caller who did it.';

-- As before, with the id: values of one resource at one time have an order.
CREATE OR REPLACE VIEW telemetry AS
SELECT r.time,
       e.name AS endpoint,
       '/' || t.object_id || '/' || r.object_instance_id || '/' || t.resource_id
           || coalesce('/' || r.resource_instance_id, '') AS path,
       t.object_id, r.object_instance_id, t.resource_id, r.resource_instance_id,
       coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                r.boolean_value::integer::double precision) AS number,
       coalesce(r.string_value, r.float_value::text, r.integer_value::text, r.unsigned_value::text,
                r.boolean_value::text, r.time_value::text, r.object_link_value, r.core_link_value,
                encode(r.opaque_value, 'hex')) AS value,
       r.stored_at, r.id
FROM resource r
JOIN endpoint e ON e.id = r.endpoint_id
JOIN resource_type t ON t.id = r.resource_type_id;
COMMENT ON COLUMN telemetry.id IS 'Its row''s, with time the primary key of resource.';

-- narrows: nothing, since the whole table is granted in the same transaction.
REVOKE SELECT (time, endpoint_id, event_type) ON event FROM flownexus_api;
GRANT SELECT ON resource, event, event_resource, dead_letter, telemetry TO flownexus_api;
GRANT UPDATE (settlement, settled_by, settled_at) ON dead_letter TO flownexus_api;
GRANT EXECUTE ON FUNCTION series TO flownexus_api;
