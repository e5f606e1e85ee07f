-- Who looks at values by hand, with psql or a tool, needs to change nothing.

GRANT USAGE ON SCHEMA public TO flownexus_reader;
GRANT SELECT ON endpoint, resource_type, resource, event, event_resource, resource_latest, endpoint_operation,
    firmware, delivery_mark, dead_letter, observe_plan, telemetry, telemetry_latest TO flownexus_reader;
GRANT EXECUTE ON FUNCTION series TO flownexus_reader;
