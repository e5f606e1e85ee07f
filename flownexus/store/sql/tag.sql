-- name: tags(endpoint)^
-- None where there is no such endpoint.
SELECT (SELECT coalesce(jsonb_object_agg(t.key, t.value), '{}') FROM endpoint_tag t WHERE t.endpoint_id = e.id)
FROM endpoint e
WHERE e.name = :endpoint;

-- name: set_tag(endpoint, key, value, set_by, max_tags)!
-- Nothing where there is no such endpoint, or it has so many others.
INSERT INTO endpoint_tag (endpoint_id, key, value, set_by)
SELECT e.id, :key, :value, :set_by
FROM endpoint e
WHERE e.name = :endpoint
  AND (SELECT count(*) FROM endpoint_tag t WHERE t.endpoint_id = e.id AND t.key <> :key) < :max_tags
ON CONFLICT (endpoint_id, key) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = clock_timestamp();

-- name: remove_tag(endpoint, key)!
DELETE FROM endpoint_tag WHERE key = :key AND endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint);
