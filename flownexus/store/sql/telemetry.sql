-- name: next_resource_id_block()$
SELECT nextval('resource_id_block');

-- name: next_event_id_block()$
SELECT nextval('event_id_block');

-- name: copy_resources()#
COPY resource (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
               device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value,
               string_value, opaque_value, object_link_value, core_link_value)
FROM STDIN (FORMAT binary);

-- name: store_few(time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value)^
-- What copy_resources and raise_latest do, in one statement: the shorter way for a few values.
WITH given AS (
    SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time AS time, id, endpoint_id,
           resource_type_id, object_instance_id, resource_instance_id, device_time_ms, boolean_value, integer_value,
           float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value,
           place
    FROM unnest(:time::bigint[], :id::bigint[], :endpoint_id::integer[], :resource_type_id::integer[],
                :object_instance_id::integer[], :resource_instance_id::integer[], :device_time_ms::bigint[],
                :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
                :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
                :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[]) WITH ORDINALITY
         AS given (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms,
                   boolean_value, integer_value, float_value, time_value, unsigned_value, string_value,
                   opaque_value, object_link_value, core_link_value, place)
), stored AS (
    INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
                          device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value,
                          string_value, opaque_value, object_link_value, core_link_value)
    SELECT time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms,
           boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value,
           object_link_value, core_link_value
    FROM given
), latest AS (
INSERT INTO resource_latest AS latest
      (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, resource_id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value)
SELECT DISTINCT ON (endpoint_id, resource_type_id, object_instance_id, resource_instance_id)
       endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value
FROM given
WHERE device_time_ms IS NULL
ORDER BY endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time DESC, place DESC
ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id) DO UPDATE SET
    time = excluded.time, resource_id = excluded.resource_id, boolean_value = excluded.boolean_value,
    integer_value = excluded.integer_value, float_value = excluded.float_value, time_value = excluded.time_value,
    unsigned_value = excluded.unsigned_value, string_value = excluded.string_value,
    opaque_value = excluded.opaque_value, object_link_value = excluded.object_link_value,
    core_link_value = excluded.core_link_value
WHERE latest.time <= excluded.time
)
SELECT identity FROM catalog_identity;

-- name: raise_latest(endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id, boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value)^
-- Upsert the newest values, in key order so that writers never wait for each other in a circle.
WITH latest AS (
INSERT INTO resource_latest AS latest
      (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, resource_id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value)
SELECT endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
       timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, id, boolean_value, integer_value,
       float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value
FROM unnest(:endpoint_id::integer[], :resource_type_id::integer[], :object_instance_id::integer[],
            :resource_instance_id::integer[], :time::bigint[], :id::bigint[],
            :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
            :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
            :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[])
     AS newest (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id, boolean_value,
                integer_value, float_value, time_value, unsigned_value, string_value, opaque_value,
                object_link_value, core_link_value)
ORDER BY 1, 2, 3, 4
ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id) DO UPDATE SET
    time = excluded.time, resource_id = excluded.resource_id, boolean_value = excluded.boolean_value,
    integer_value = excluded.integer_value, float_value = excluded.float_value, time_value = excluded.time_value,
    unsigned_value = excluded.unsigned_value, string_value = excluded.string_value,
    opaque_value = excluded.opaque_value, object_link_value = excluded.object_link_value,
    core_link_value = excluded.core_link_value
WHERE latest.time <= excluded.time
)
SELECT identity FROM catalog_identity;

-- name: add_events(time, id, endpoint_id, event_type)!
INSERT INTO event (time, id, endpoint_id, event_type)
SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, id, endpoint_id, event_type
FROM unnest(:time::bigint[], :id::bigint[], :endpoint_id::integer[], :event_type::text[])
     AS added (time, id, endpoint_id, event_type);

-- name: add_event_resources(time, event_id, resource_id)!
INSERT INTO event_resource (time, event_id, resource_id)
SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, event_id, resource_id
FROM unnest(:time::bigint[], :event_id::bigint[], :resource_id::bigint[]) AS added (time, event_id, resource_id);

-- name: copy_event_resources()#
COPY event_resource (time, event_id, resource_id) FROM STDIN (FORMAT binary);
