-- name: matching_endpoints(filter, examples)^
-- How many endpoints fit, and the names of the first.
WITH matching AS MATERIALIZED (SELECT e.name FROM endpoint e WHERE endpoint_matches(e, :filter::jsonb))
SELECT count(*), ARRAY(SELECT name FROM matching ORDER BY name LIMIT :examples) FROM matching;
