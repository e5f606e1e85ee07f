-- Who asked for an operation. An Idempotency-Key is its sender's own: the same key of another is another one.

ALTER TABLE endpoint_operation ADD COLUMN requested_by text CHECK (requested_by <> '');
COMMENT ON COLUMN endpoint_operation.requested_by IS 'The name of the caller that queued it; observe-plan for what the plan asks for; null in rows from before callers had names.';
-- Rows without a name count as those of api, the only caller that there was.
DROP INDEX endpoint_operation_idempotency_key;
CREATE UNIQUE INDEX endpoint_operation_idempotency_key
    ON endpoint_operation (coalesce(requested_by, 'api'), idempotency_key) WHERE idempotency_key IS NOT NULL;
GRANT INSERT (requested_by) ON endpoint_operation TO flownexus_housekeeping;
