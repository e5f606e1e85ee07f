-- name: fleet_count(pattern)$
SELECT count(*) FROM endpoint WHERE :pattern::text IS NULL OR name ILIKE :pattern;

-- name: fleet_by_name(pattern, limit, offset)
SELECT id FROM endpoint WHERE :pattern::text IS NULL OR name ILIKE :pattern ORDER BY name LIMIT :limit OFFSET :offset;

-- name: fleet_by_contact(pattern, limit, offset)
SELECT id FROM endpoint WHERE :pattern::text IS NULL OR name ILIKE :pattern
ORDER BY last_seen_at DESC NULLS LAST, name LIMIT :limit OFFSET :offset;

-- name: fleet_rows(ids)
-- What a list tells of each device; of the object Device (OMA LwM2M Core 1.1, appendix E.4) what is known.
SELECT e.name,
       CASE WHEN e.registered OR e.last_seen_at IS NOT NULL THEN presence(e) ELSE 'never' END AS presence,
       e.last_seen_at,
       told.manufacturer, told.model, told.firmware, told.battery,
       (SELECT count(*) FROM endpoint_operation o
        WHERE o.endpoint_id = e.id AND o.status = 'QUEUED' AND o.registration_id IS NULL) AS waiting
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

-- name: device(endpoint)^
SELECT e.name,
       CASE WHEN e.registered OR e.last_seen_at IS NOT NULL THEN presence(e) ELSE 'never' END AS presence,
       e.last_seen_at, e.first_seen_at, e.registered_at, e.expires_at, e.address, e.lifetime, e.binding,
       e.lwm2m_version, e.objects
FROM endpoint e
WHERE e.name = :endpoint;

-- name: activity(endpoint, limit)
-- What an endpoint told of itself, and what was asked of it, the newest first.
(SELECT v.time, v.event_type AS what, NULL::bigint AS operation, NULL::text AS path, NULL::text AS status,
        NULL::text AS by, NULL::text AS reason, 0 AS attempts
 FROM event v
 WHERE v.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint)
   AND v.event_type IN ('registered', 'updated', 'unregistered', 'heard')
 ORDER BY v.time DESC
 LIMIT :limit)
UNION ALL
(SELECT coalesce(o.finished_at, o.last_attempt_at, o.created_at), o.operation_type, o.id,
        coalesce(o.path, array_to_string(o.paths, ' ')), o.status, o.requested_by, o.reason, o.attempts
 FROM endpoint_operation o
 WHERE o.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint)
 ORDER BY o.id DESC
 LIMIT :limit)
ORDER BY 1 DESC
LIMIT :limit;

-- name: series_of(endpoint, path, from_time, to_time, buckets)
SELECT time, minimum, maximum, mean
FROM series(ARRAY[:endpoint::text], ARRAY[:path::text], :from_time::timestamptz, :to_time::timestamptz, :buckets::integer)
ORDER BY time;
