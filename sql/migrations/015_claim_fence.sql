-- A fence is of one claim, also of one that was rolled back: a sequence gives no number twice.

CREATE SEQUENCE claim_fence;
DO $$
BEGIN
    PERFORM setval('claim_fence', coalesce(max(fence), 0) + 1, false) FROM endpoint_operation;
END
$$;
GRANT USAGE ON SEQUENCE claim_fence TO flownexus_functions;
COMMENT ON COLUMN endpoint_operation.fence IS
    'Fencing token: rises with each claim, and no other claim has had it; a result counts only with the newest.';
