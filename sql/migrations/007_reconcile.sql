-- What is to be observed is looked at again: an observation that its device gave up is asked for anew.

ALTER TABLE observe_plan ADD COLUMN pmax integer CHECK (pmax > 0);
COMMENT ON COLUMN observe_plan.pmax IS
    'Seconds within which each device is known to report, by its pmax (OMA LwM2M Core 1.1, 5.1.2): twice as long silent, it is observed anew.';

ALTER TABLE endpoint
    ADD COLUMN reconcile_at timestamptz,
    ADD COLUMN heard_since timestamptz;
COMMENT ON COLUMN endpoint.reconcile_at IS 'When housekeeping next compares its observations to the plan; null until it registers or updates.';
COMMENT ON COLUMN endpoint.heard_since IS
    'Since when Leshan has heard devices without a gap, as the last event said: what was observed before may have been given up.';
CREATE INDEX endpoint_reconcile ON endpoint (reconcile_at) WHERE registered;

-- Users seldom take an observation back, and for these it is not asked for anew.
CREATE INDEX endpoint_operation_taken_back ON endpoint_operation (endpoint_id, path) WHERE operation_type = 'cancel-observe';

GRANT UPDATE (reconcile_at) ON endpoint TO flownexus_housekeeping;
-- Operations of the plan have no value and no arguments.
GRANT INSERT (endpoint_id, registration_id, operation_type, path, priority) ON endpoint_operation TO flownexus_housekeeping;
GRANT SELECT ON observe_plan, resource_latest, resource_type TO flownexus_housekeeping;
GRANT SELECT (time, id, stored_at) ON resource TO flownexus_housekeeping;
