-- The console chooses devices by filters, queues operations for all of them, and shows the log of one.

GRANT SELECT ON endpoint_tag, log_entry TO flownexus_console;
GRANT EXECUTE ON FUNCTION device_text, endpoint_matches, last_contacts, offline_since TO flownexus_console;

GRANT SELECT, INSERT (filter, operation_type, targets, requested_by, idempotency_key, request_fingerprint),
    UPDATE (endpoints, left_out, cancelled_at, cancelled_by) ON batch TO flownexus_console;
GRANT INSERT (batch_id) ON endpoint_operation TO flownexus_console;
