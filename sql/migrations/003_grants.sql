-- Least privilege: what each role may do, and nothing else.

GRANT USAGE ON SCHEMA public TO flownexus_functions, flownexus_housekeeping, flownexus_grafana;

GRANT SELECT, INSERT, UPDATE ON endpoint, resource_latest, endpoint_operation, delivery_mark TO flownexus_functions;
GRANT SELECT, INSERT ON resource_type, resource, event, event_resource, dead_letter TO flownexus_functions;
GRANT SELECT ON observe_plan, firmware, telemetry, telemetry_latest TO flownexus_functions;
GRANT USAGE ON SEQUENCE resource_id_block, event_id_block TO flownexus_functions;

GRANT SELECT ON endpoint TO flownexus_housekeeping;
GRANT UPDATE (registered, expires_at) ON endpoint TO flownexus_housekeeping;
GRANT SELECT, UPDATE ON endpoint_operation TO flownexus_housekeeping;
GRANT SELECT, DELETE ON delivery_mark TO flownexus_housekeeping;
GRANT EXECUTE ON FUNCTION make_partitions, drop_partitions TO flownexus_housekeeping;

GRANT SELECT ON endpoint, resource_type, resource, event, event_resource, resource_latest, endpoint_operation,
    firmware, delivery_mark, dead_letter, observe_plan, telemetry, telemetry_latest TO flownexus_grafana;
