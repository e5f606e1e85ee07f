-- Values that are written to objects 0 and 21, which hold keys: only who sends them reads them, and only until they are sent.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE operation_secret (
    operation_id bigint PRIMARY KEY REFERENCES endpoint_operation ON DELETE CASCADE,
    value        jsonb NOT NULL
);
COMMENT ON TABLE operation_secret IS
    'What an operation writes to an object that holds keys (0, 21), until the operation has ended; its own row says "redacted" instead.';

ALTER TABLE endpoint_operation ADD COLUMN has_secret boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN endpoint_operation.has_secret IS 'Its value is in operation_secret while it has not ended.';

CREATE FUNCTION forget_operation_secret() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $body$
BEGIN
    DELETE FROM operation_secret WHERE operation_id = NEW.id;
    RETURN NULL;
END
$body$;
REVOKE ALL ON FUNCTION forget_operation_secret FROM PUBLIC;
CREATE TRIGGER endpoint_operation_forgets_secret AFTER UPDATE OF status ON endpoint_operation
FOR EACH ROW WHEN (NEW.has_secret AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION forget_operation_secret();

-- What was written before, and has ended.
UPDATE endpoint_operation
SET value = jsonb_build_object('type', value -> 'type', 'value', NULL, 'redacted', true)
WHERE finished_at IS NOT NULL AND value IS NOT NULL AND path ~ '^/(0|21)(/|$)';
UPDATE endpoint_operation
SET value = (SELECT jsonb_object_agg(key, CASE WHEN key ~ '^/(0|21)/'
                 THEN jsonb_build_object('type', each.value -> 'type', 'value', NULL, 'redacted', true) ELSE each.value END)
             FROM jsonb_each(endpoint_operation.value) AS each)
WHERE finished_at IS NOT NULL AND operation_type = 'write-composite' AND value::text ~ '"/(0|21)/';

GRANT INSERT ON operation_secret TO flownexus_api, flownexus_console;
GRANT INSERT (has_secret) ON endpoint_operation TO flownexus_api, flownexus_console;
GRANT SELECT ON operation_secret TO flownexus_dispatch;
