-- name: fleet_page(filter, by_contact, down, begins, seen, name, limit)^
-- How many endpoints fit, and the ids of a page in its order: by last contact or by name, behind the key of a row.
-- Who never registered was in contact before all others.
WITH matching AS MATERIALIZED (
    SELECT e.id, e.name,
           CASE WHEN :by_contact THEN coalesce(e.last_seen_at, '-infinity') ELSE '-infinity' END AS seen
    FROM endpoint e
    WHERE :filter::jsonb IS NULL OR endpoint_matches(e, :filter::jsonb))
SELECT count(*),
       ARRAY(SELECT m.id
             FROM matching m
             WHERE :begins OR CASE WHEN :down
                                   THEN (m.seen, m.name) < (coalesce(:seen::timestamptz, '-infinity'), :name::text)
                                   ELSE (m.seen, m.name) > (coalesce(:seen::timestamptz, '-infinity'), :name::text) END
             ORDER BY CASE WHEN NOT :down THEN m.seen END, CASE WHEN :down THEN m.seen END DESC,
                      CASE WHEN NOT :down THEN m.name END, CASE WHEN :down THEN m.name END DESC
             LIMIT :limit)
FROM matching;

-- name: fleet_rows(ids)
-- What a list tells of each device; of the object Device (OMA LwM2M Core 1.1, appendix E.4) what is known.
SELECT e.name,
       CASE WHEN e.registered OR e.last_seen_at IS NOT NULL THEN presence(e) ELSE 'never' END AS presence,
       e.last_seen_at,
       told.manufacturer, told.model, told.firmware, told.battery,
       (SELECT count(*) FROM endpoint_operation o
        WHERE o.endpoint_id = e.id AND o.status = 'QUEUED' AND o.registration_id IS NULL) AS waiting,
       (SELECT coalesce(jsonb_object_agg(t.key, t.value), '{}') FROM endpoint_tag t WHERE t.endpoint_id = e.id) AS tags
FROM unnest(:ids::integer[]) WITH ORDINALITY AS wanted(id, place)
JOIN endpoint e ON e.id = wanted.id
LEFT JOIN LATERAL (
    SELECT max(l.string_value) FILTER (WHERE t.resource_id = 0) AS manufacturer,
           max(l.string_value) FILTER (WHERE t.resource_id = 1) AS model,
           max(l.string_value) FILTER (WHERE t.resource_id = 3) AS firmware,
           (max(coalesce(l.integer_value, l.unsigned_value)) FILTER (WHERE t.resource_id = 9))::integer AS battery
    FROM resource_latest l
    JOIN resource_type t ON t.id = l.resource_type_id
    WHERE l.endpoint_id = e.id AND t.object_id = 3 AND t.resource_id IN (0, 1, 3, 9)) AS told ON true
ORDER BY wanted.place;

-- name: fleet_contacts(ids, slots, default_lifetime, longest)
-- A device is heard of at least once a lifetime (OMA LwM2M Core 1.1, 6.2.3). Of the last so many lifetimes, the oldest
-- first: 1 if it registered, updated or was heard, 0 if not, - before it was there. One look-up in an index each.
SELECT e.name, e.every AS every_s,
       (SELECT string_agg(CASE WHEN slot.until <= e.first_seen_at THEN '-'
                               WHEN EXISTS (SELECT FROM event v
                                            WHERE v.endpoint_id = e.id
                                              AND v.event_type IN ('registered', 'updated', 'heard')
                                              AND v.time > slot.until - make_interval(secs => e.every)
                                              AND v.time <= slot.until)
                               THEN '1' ELSE '0' END, '' ORDER BY slot.number DESC)
        FROM (SELECT number, statement_timestamp() - number * make_interval(secs => e.every) AS until
              FROM generate_series(0, :slots::integer - 1) AS number) AS slot) AS slots
FROM (SELECT id, name, first_seen_at,
             least(greatest(coalesce(lifetime, :default_lifetime), 1), :longest)::double precision AS every
      FROM endpoint
      WHERE id = ANY (:ids::integer[])) AS e;

-- name: fleet_values(names, object_ids, object_instance_ids, resource_ids)
-- The newest values of some resources; of one with instances all of them.
SELECT v.endpoint, '/' || v.object_id || '/' || v.object_instance_id || '/' || v.resource_id AS path,
       string_agg(v.value, ', ' ORDER BY v.resource_instance_id NULLS FIRST) AS value, max(v.time) AS time,
       max(t.name) AS name, max(t.units) AS units
FROM unnest(:object_ids::integer[], :object_instance_ids::integer[], :resource_ids::integer[])
     AS wanted(object_id, object_instance_id, resource_id)
JOIN telemetry_latest v USING (object_id, object_instance_id, resource_id)
JOIN resource_type t USING (object_id, resource_id)
WHERE v.endpoint = ANY (:names::text[])
GROUP BY v.endpoint, v.object_id, v.object_instance_id, v.resource_id;

-- name: devices_with(text, pattern, limit)
-- Devices that have a text in their name, address or tags; first who is named so, then whose name begins so.
SELECT e.name,
       CASE WHEN e.registered OR e.last_seen_at IS NOT NULL THEN presence(e) ELSE 'never' END AS presence, e.address,
       (SELECT coalesce(jsonb_object_agg(t.key, t.value), '{}') FROM endpoint_tag t WHERE t.endpoint_id = e.id) AS tags
FROM (SELECT *
      FROM endpoint
      WHERE name ILIKE :pattern OR address ILIKE :pattern
         OR id IN (SELECT endpoint_id FROM endpoint_tag WHERE key || '=' || value ILIKE :pattern)
      ORDER BY name <> :text, NOT starts_with(lower(name), lower(:text)), name
      LIMIT :limit) AS e;

-- name: device(endpoint)^
SELECT e.name,
       CASE WHEN e.registered OR e.last_seen_at IS NOT NULL THEN presence(e) ELSE 'never' END AS presence,
       e.last_seen_at, e.first_seen_at, e.registered_at, e.expires_at, e.address, e.lifetime, e.binding,
       e.lwm2m_version, e.objects
FROM endpoint e
WHERE e.name = :endpoint;

-- name: series_of(endpoint, path, from_time, to_time, buckets)
SELECT time, minimum, maximum, mean
FROM series(ARRAY[:endpoint::text], ARRAY[:path::text], :from_time::timestamptz, :to_time::timestamptz, :buckets::integer)
ORDER BY time;
