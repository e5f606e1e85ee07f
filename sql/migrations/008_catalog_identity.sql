-- What tells functions that ids which they know from before are not those of this catalog any more.

CREATE TABLE catalog_generation (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation bigint NOT NULL DEFAULT 0
);
INSERT INTO catalog_generation DEFAULT VALUES;
COMMENT ON TABLE catalog_generation IS 'One row; rises when endpoints are deleted.';

-- Another server, or the same one started again on a copy of its files: another start. A restored dump: another
-- database, or tables made or filled anew, which have other files.
CREATE VIEW catalog_identity AS
SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), pg_relation_filepath('endpoint'),
                 pg_relation_filepath('resource_type'), generation) AS identity
FROM catalog_generation;
COMMENT ON VIEW catalog_identity IS 'What ids of endpoints and resource types hold for: while it stays the same, so do they.';

GRANT SELECT ON catalog_identity TO flownexus_functions, flownexus_grafana;
GRANT SELECT ON catalog_generation TO flownexus_grafana;
