-- name: endpoints(part, filter, cursor, max_contacts, limit)
-- By name. A registration that is over is none, also before housekeeping has said so.
SELECT name, registered AND coalesce(expires_at > statement_timestamp(), true) AS registered, presence(e) AS presence,
       CASE WHEN presence(e) = 'awake' THEN last_seen_at + awake_time(e) END AS awake_until,
       offline_since(e) AS offline_since, last_seen_at AS last_seen, expires_at AS registered_until,
       last_contacts(e, :max_contacts) AS contacts
FROM endpoint e
WHERE (:cursor::text IS NULL OR name > :cursor) AND (:part::text IS NULL OR strpos(name, :part) > 0)
  AND (:filter::jsonb IS NULL OR endpoint_matches(e, :filter::jsonb))
ORDER BY name
LIMIT :limit;

-- name: endpoint_details(endpoint, max_contacts)^
SELECT name, registered AND coalesce(expires_at > statement_timestamp(), true) AS registered,
       first_seen_at AS first_seen, last_seen_at AS last_seen, registration_id, registered_at,
       expires_at AS registered_until, address, lwm2m_version, lifetime, binding, content_formats, objects,
       presence(e) AS presence, CASE WHEN presence(e) = 'awake' THEN last_seen_at + awake_time(e) END AS awake_until,
       offline_since(e) AS offline_since, made_by, last_contacts(e, :max_contacts) AS contacts
FROM endpoint e
WHERE name = :endpoint;

-- name: add_endpoint(name, made_by)!
INSERT INTO endpoint (name, made_by) VALUES (:name, :made_by) ON CONFLICT (name) DO NOTHING;

-- name: delete_endpoint(name, even_registered)$
SELECT delete_endpoint(:name, :even_registered);

-- name: newest_values(endpoint, object_id, object_instance_id, resource_id, resource_instance_id, after_object_id, after_object_instance_id, after_resource_id, after_resource_instance_id, limit)
-- By path. A resource without instances comes before its instances.
SELECT v.path, v.value, v.time,
       round(extract(epoch FROM statement_timestamp() - v.time), 3)::double precision AS age_s,
       t.data_type AS type, t.name, t.units
FROM telemetry_latest v
JOIN resource_type t USING (object_id, resource_id)
WHERE v.endpoint = :endpoint
  AND (:object_id::integer IS NULL OR object_id = :object_id)
  AND (:object_instance_id::integer IS NULL OR v.object_instance_id = :object_instance_id)
  AND (:resource_id::integer IS NULL OR resource_id = :resource_id)
  AND (:resource_instance_id::integer IS NULL OR v.resource_instance_id = :resource_instance_id)
  AND (:after_object_id::integer IS NULL
       OR (object_id, v.object_instance_id, resource_id, coalesce(v.resource_instance_id, -1))
          > (:after_object_id, :after_object_instance_id, :after_resource_id, :after_resource_instance_id::integer))
ORDER BY object_id, v.object_instance_id, resource_id, coalesce(v.resource_instance_id, -1)
LIMIT :limit;
