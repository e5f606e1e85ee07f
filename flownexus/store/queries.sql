-- Every statement of the functions, by noun.

-- catalog

-- name: endpoint_ids
-- The ids of the endpoints of these names.
SELECT name, id FROM endpoint WHERE name = ANY(:names);

-- name: add_endpoints!
INSERT INTO endpoint (name) SELECT name FROM unnest(:names::text[]) AS wanted(name) ORDER BY name
ON CONFLICT (name) DO NOTHING;

-- name: resource_type_ids
SELECT t.object_id, t.resource_id, t.id
FROM resource_type t
JOIN unnest(:object_ids::integer[], :resource_ids::integer[]) AS wanted(object_id, resource_id)
    USING (object_id, resource_id);

-- name: add_resource_types!
INSERT INTO resource_type (object_id, resource_id, data_type)
SELECT * FROM unnest(:object_ids::integer[], :resource_ids::integer[], :data_types::text[]) ORDER BY 1, 2
ON CONFLICT (object_id, resource_id) DO NOTHING;

-- telemetry

-- name: next_resource_id_block$
SELECT nextval('resource_id_block');

-- name: next_event_id_block$
SELECT nextval('event_id_block');

-- name: add_resources!
INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
                      device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value,
                      string_value, opaque_value, object_link_value, core_link_value)
SELECT * FROM unnest(:time::timestamptz[], :id::bigint[], :endpoint_id::integer[], :resource_type_id::integer[],
                     :object_instance_id::integer[], :resource_instance_id::integer[], :device_time_ms::bigint[],
                     :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
                     :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
                     :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[]);

-- name: raise_latest!
-- Upsert the newest values, in key order so that writers never wait for each other in a circle.
INSERT INTO resource_latest AS latest
      (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, resource_id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value)
SELECT * FROM unnest(:endpoint_id::integer[], :resource_type_id::integer[], :object_instance_id::integer[],
                     :resource_instance_id::integer[], :time::timestamptz[], :id::bigint[],
                     :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
                     :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
                     :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[])
ORDER BY 1, 2, 3, 4
ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id) DO UPDATE SET
    time = excluded.time, resource_id = excluded.resource_id, boolean_value = excluded.boolean_value,
    integer_value = excluded.integer_value, float_value = excluded.float_value, time_value = excluded.time_value,
    unsigned_value = excluded.unsigned_value, string_value = excluded.string_value,
    opaque_value = excluded.opaque_value, object_link_value = excluded.object_link_value,
    core_link_value = excluded.core_link_value
WHERE latest.time <= excluded.time;

-- name: add_events!
INSERT INTO event (time, id, endpoint_id, event_type)
SELECT * FROM unnest(:time::timestamptz[], :id::bigint[], :endpoint_id::integer[], :event_type::text[]);

-- name: add_event_resources!
INSERT INTO event_resource (time, event_id, resource_id)
SELECT * FROM unnest(:time::timestamptz[], :event_id::bigint[], :resource_id::bigint[]);

-- endpoint

-- name: lock_endpoints!
-- In id order, so that writers never wait for each other in a circle.
SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE;

-- name: register!
UPDATE endpoint SET
    registered = true, registration_id = :registration_id, address = :address, lifetime = :lifetime,
    binding = :binding, lwm2m_version = :version, objects = coalesce(:objects::text[], objects),
    presence = presence + 1, last_seen_at = :seen_at, expires_at = :seen_at + make_interval(secs => :lifetime)
WHERE id = :endpoint_id;

-- name: update_registration!
-- What an update does not say stays as it was.
UPDATE endpoint SET
    registered = true, registration_id = coalesce(:registration_id, registration_id),
    address = coalesce(:address, address), lifetime = coalesce(:lifetime, lifetime),
    binding = coalesce(:binding, binding), lwm2m_version = coalesce(:version, lwm2m_version),
    objects = coalesce(:objects::text[], objects), presence = presence + 1, last_seen_at = :seen_at,
    expires_at = :seen_at + make_interval(secs => coalesce(:lifetime, lifetime))
WHERE id = :endpoint_id;

-- name: unregister!
-- Only for the current registration: Leshan tells of the old one's end after a re-registration too.
UPDATE endpoint SET registered = false, expires_at = NULL
WHERE id = :endpoint_id AND (:registration_id::text IS NULL OR registration_id IS NULL
                             OR registration_id = :registration_id);

-- name: enabled_plan
SELECT operation_type, object_id, object_instance_id, resource_id FROM observe_plan WHERE enabled ORDER BY id;

-- name: add_planned_operations!
INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)
SELECT :endpoint_id, planned.operation_type, planned.path, 0, :registration_id
FROM unnest(:operation_types::text[], :paths::text[]) WITH ORDINALITY AS planned(operation_type, path, place)
ORDER BY place
ON CONFLICT (endpoint_id, operation_type, path, registration_id) WHERE registration_id IS NOT NULL DO NOTHING;

-- name: drop_older_plan!
-- What an earlier registration's plan still waits with is asked for again by the new one.
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'the device has registered anew'
WHERE endpoint_id = :endpoint_id AND status = 'QUEUED' AND registration_id <> :registration_id;

-- delivery

-- name: lock_mark$
-- Take the mark of (source, kind, lane) for this transaction, making it if it is new.
INSERT INTO delivery_mark (source, kind, lane) VALUES (:source, :kind, :lane)
ON CONFLICT (source, kind, lane) DO UPDATE SET mark = delivery_mark.mark
RETURNING mark;

-- name: move_mark!
UPDATE delivery_mark SET mark = :mark, gaps = gaps + :gap, moved_at = clock_timestamp()
WHERE source = :source AND kind = :kind AND lane = :lane;

-- name: add_dead_letter!
INSERT INTO dead_letter (kind, reason, item, source, lane, seq)
VALUES (:kind, :reason, :item, :source, :lane, :seq);

-- operation
