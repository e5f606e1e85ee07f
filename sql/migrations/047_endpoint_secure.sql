-- By which scheme a device speaks: a package is offered to it by the same.

ALTER TABLE endpoint ADD COLUMN secure boolean;
COMMENT ON COLUMN endpoint.secure IS 'It registered by CoAPS, and not by CoAP; null where its server did not say.';

GRANT UPDATE (secure) ON endpoint TO flownexus_ingest;
