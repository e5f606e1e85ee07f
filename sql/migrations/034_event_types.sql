-- Kinds of events that users name, and events that are values told one by one.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE event_type (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    paths       text[] NOT NULL CHECK (
        cardinality(paths) BETWEEN 1 AND 100
        AND array_to_string(paths, ',', 'null') ~ '^(/([0-9]{1,5}|\*)){1,4}(,(/([0-9]{1,5}|\*)){1,4})*$'),
    description text
);
COMMENT ON TABLE event_type IS 'Names of events: of one that has values at or below all of these paths.';
COMMENT ON COLUMN event_type.paths IS 'LwM2M paths; * stands for any id, such as /3303/*/5700.';

CREATE FUNCTION event_name(of_paths text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.name
    FROM event_type t
    WHERE NOT EXISTS (
        SELECT FROM unnest(t.paths) AS wanted (path)
        WHERE NOT EXISTS (SELECT FROM unnest(of_paths) AS own (path)
                          WHERE own.path ~ ('^' || replace(wanted.path, '*', '[0-9]+') || '(/|$)')))
    ORDER BY cardinality(t.paths) DESC, t.name
    LIMIT 1;
END;
COMMENT ON FUNCTION event_name IS 'The name of an event with values at these paths: of the types that it fits the one with the most paths; null where it fits none.';
REVOKE EXECUTE ON FUNCTION event_name FROM PUBLIC;

CREATE VIEW value_event AS
SELECT r.time, e.name AS endpoint, '/' || t.object_id || '/' || r.object_instance_id AS instance,
       array_agg('/' || t.object_id || '/' || r.object_instance_id || '/' || t.resource_id
                 || coalesce('/' || r.resource_instance_id, '') ORDER BY t.resource_id, r.resource_instance_id) AS paths
FROM resource r
JOIN endpoint e ON e.id = r.endpoint_id
JOIN resource_type t ON t.id = r.resource_type_id
WHERE r.device_time_ms IS NULL AND t.object_id <> 10240
  AND NOT EXISTS (SELECT FROM event_resource x WHERE x.time = r.time AND x.resource_id = r.id)
GROUP BY r.time, e.name, t.object_id, r.object_instance_id
HAVING count(DISTINCT r.resource_type_id) > 1;
COMMENT ON VIEW value_event IS 'Values of one object instance of the same time that were told one by one: an event, too. Ask for an endpoint and a time.';
COMMENT ON COLUMN value_event.paths IS 'Those of its values, in order.';

CREATE VIEW named_event AS
SELECT ev.time, ev.id, e.name AS endpoint, ev.event_type, event_name(v.paths) AS name, v.paths
FROM event ev
JOIN endpoint e ON e.id = ev.endpoint_id
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg('/' || t.object_id || '/' || r.object_instance_id || '/' || t.resource_id
                              || coalesce('/' || r.resource_instance_id, '')
                              ORDER BY t.object_id, r.object_instance_id, t.resource_id, r.resource_instance_id), '{}') AS paths
    FROM event_resource x
    JOIN resource r ON r.time = x.time AND r.id = x.resource_id
    JOIN resource_type t ON t.id = r.resource_type_id
    WHERE x.time = ev.time AND x.event_id = ev.id
) AS v
UNION ALL
SELECT time, NULL, endpoint, 'instance', event_name(paths), paths FROM value_event;
COMMENT ON VIEW named_event IS 'All events with the names that event_type gives them. Ask for an endpoint and a time.';
COMMENT ON COLUMN named_event.event_type IS 'As event has it; instance of values that were told one by one.';
COMMENT ON COLUMN named_event.name IS 'Null where no event_type fits.';

GRANT SELECT ON event_type, value_event, named_event TO flownexus_grafana, flownexus_reader, flownexus_api;
GRANT EXECUTE ON FUNCTION event_name TO flownexus_grafana, flownexus_reader, flownexus_api;
