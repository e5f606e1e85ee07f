-- A POST that is sent again for want of an answer queues its operation once.

ALTER TABLE endpoint_operation
    ADD COLUMN idempotency_key text CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    ADD COLUMN request_fingerprint bytea,
    ADD CHECK ((idempotency_key IS NULL) = (request_fingerprint IS NULL));
CREATE UNIQUE INDEX endpoint_operation_idempotency_key ON endpoint_operation (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
COMMENT ON COLUMN endpoint_operation.idempotency_key IS 'The Idempotency-Key of the POST that made it.';
COMMENT ON COLUMN endpoint_operation.request_fingerprint IS 'SHA-256 of what that POST asked for: the key stands for nothing else.';
