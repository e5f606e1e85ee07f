-- Why an operation has not ended is told from rows: what its last attempt came to, and when its device speaks.

ALTER TABLE endpoint_operation ADD COLUMN last_verdict text CHECK (last_verdict <> '');
COMMENT ON COLUMN endpoint_operation.last_verdict IS
    'What the last attempt came to, by flownexus/operations/lifecycle.py, such as away or unknown; null before an end, and where its worker was lost.';
GRANT UPDATE (last_verdict) ON endpoint_operation TO flownexus_dispatch, flownexus_housekeeping;

-- Of one device, many composites may come between two updates.
CREATE INDEX event_contact ON event (endpoint_id, time) WHERE event_type IN ('registered', 'updated', 'unregistered');
GRANT SELECT (time, endpoint_id, event_type) ON event TO flownexus_api;
GRANT EXECUTE ON FUNCTION next_operation TO flownexus_api;
