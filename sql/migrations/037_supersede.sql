-- A newer write may take the place of an older one that waits, as its user asks.

ALTER TABLE endpoint_operation ADD COLUMN superseded_by bigint;
COMMENT ON COLUMN endpoint_operation.superseded_by IS
    'The newer write to the same path that took its place while it was QUEUED; it is then CANCELLED.';
GRANT UPDATE (superseded_by) ON endpoint_operation TO flownexus_api;
