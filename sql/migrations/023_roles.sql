-- A role for each purpose of the functions, where one served ingest, dispatch-op and operations. What a role may do is
-- declared once more in tests/integration/test_roles.py, which compares the two.

GRANT USAGE ON SCHEMA public TO flownexus_ingest, flownexus_dispatch, flownexus_api;

-- Values, which ingest is sent and dispatch reads from devices. Neither looks at the history.
GRANT INSERT ON resource, event, event_resource TO flownexus_ingest, flownexus_dispatch;
GRANT SELECT, INSERT, UPDATE ON resource_latest TO flownexus_ingest, flownexus_dispatch;
GRANT SELECT, INSERT, UPDATE (data_type) ON resource_type TO flownexus_ingest, flownexus_dispatch;
GRANT SELECT ON resource_model, catalog_identity TO flownexus_ingest, flownexus_dispatch;
GRANT USAGE ON SEQUENCE resource_id_block, event_id_block TO flownexus_ingest, flownexus_dispatch;
GRANT INSERT (kind, reason, item, source, lane, seq) ON dead_letter TO flownexus_ingest, flownexus_dispatch;

-- Ingest: marks, registrations, and the operations of the observe plan, which a new registration cancels.
GRANT SELECT, INSERT (source, kind, lane), UPDATE (mark, gaps, moved_at) ON delivery_mark TO flownexus_ingest;
GRANT SELECT, INSERT (name), UPDATE (
    registered, registration_id, address, lifetime, binding, lwm2m_version, content_formats, objects, contact_count,
    last_seen_at, expires_at, heard_since, reconcile_at, registered_at) ON endpoint TO flownexus_ingest;
GRANT SELECT ON observe_plan TO flownexus_ingest;
GRANT SELECT (endpoint_id, operation_type, path, registration_id, status),
    INSERT (endpoint_id, operation_type, path, priority, registration_id, requested_by),
    UPDATE (status, finished_at, reason) ON endpoint_operation TO flownexus_ingest;

-- Dispatch: what becomes of an operation, never what it asks for.
GRANT SELECT, UPDATE (write_format, unreachable_at_contact) ON endpoint TO flownexus_dispatch;
GRANT SELECT, UPDATE (
    status, attempts, fence, lease_expires_at, last_attempt_at, not_before, retry_after_contact, formats_refused, result,
    reason, finished_at) ON endpoint_operation TO flownexus_dispatch;
GRANT USAGE ON SEQUENCE claim_fence TO flownexus_dispatch;

-- The REST API: what users ask for, and what they take back.
GRANT SELECT ON endpoint, resource_type, resource_model, telemetry_latest TO flownexus_api;
GRANT SELECT, INSERT (
    endpoint_id, operation_type, path, paths, concerns, value, arguments, repeatable, priority, requested_by,
    idempotency_key, request_fingerprint), UPDATE (status, finished_at, reason) ON endpoint_operation TO flownexus_api;

-- Housekeeping had more than it uses: it reads no value and no dead letter, and alters no claim.
REVOKE UPDATE (expires_at) ON endpoint FROM flownexus_housekeeping;
REVOKE UPDATE ON endpoint_operation FROM flownexus_housekeeping;
GRANT UPDATE (
    status, attempts, lease_expires_at, last_attempt_at, not_before, retry_after_contact, formats_refused, result, reason,
    created_at, finished_at) ON endpoint_operation TO flownexus_housekeeping;
REVOKE SELECT ON dead_letter, resource_latest FROM flownexus_housekeeping;
GRANT SELECT (id, received_at) ON dead_letter TO flownexus_housekeeping;
GRANT SELECT (endpoint_id, resource_type_id, object_instance_id, time, resource_id)
    ON resource_latest TO flownexus_housekeeping;

-- No dashboard asks of which catalog ids are.
REVOKE SELECT ON catalog_identity, catalog_generation FROM flownexus_grafana;

-- What PostgreSQL lets everybody do.
REVOKE EXECUTE ON FUNCTION next_operation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION next_operation TO flownexus_dispatch, flownexus_housekeeping, flownexus_functions;
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

-- Functions of the version before still log in by the one role. Where it never could, none of them runs.
DO $$
BEGIN
    IF NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'flownexus_functions') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM flownexus_functions;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM flownexus_functions;
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM flownexus_functions;
        REVOKE ALL ON SCHEMA public FROM flownexus_functions;
    END IF;
END
$$;
