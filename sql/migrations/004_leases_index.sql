-- The index of leases apart from the status: it serves who asks for leases, and is in nobody else's way.

DROP INDEX endpoint_operation_leases;
CREATE INDEX endpoint_operation_leases ON endpoint_operation (lease_expires_at) WHERE lease_expires_at IS NOT NULL;
