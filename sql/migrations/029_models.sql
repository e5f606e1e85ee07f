-- Object models by version: OMA's registry and users' own. Leshan and the functions go by the same rows.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE object_model (
    object_id integer NOT NULL CHECK (object_id BETWEEN 0 AND 65534),
    version   text NOT NULL CHECK (version ~ '^[0-9]{1,4}\.[0-9]{1,4}$'),
    name      text NOT NULL,
    multiple  boolean NOT NULL,
    xml       text,
    added_by  text CHECK (added_by <> ''),
    added_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (object_id, version),
    CHECK ((xml IS NULL) = (added_by IS NULL))
);
COMMENT ON TABLE object_model IS 'The versions of objects whose models are known.';
COMMENT ON COLUMN object_model.multiple IS 'The object may have several instances.';
COMMENT ON COLUMN object_model.xml IS 'The file that it was read from; null of OMA''s registry.';
COMMENT ON COLUMN object_model.added_by IS 'The name of the caller that added it; null of OMA''s registry.';

CREATE TABLE object_model_resource (
    object_id   integer NOT NULL,
    version     text NOT NULL,
    resource_id integer NOT NULL CHECK (resource_id BETWEEN 0 AND 65534),
    name        text NOT NULL,
    operations  text NOT NULL CHECK (operations IN ('', 'R', 'W', 'RW', 'E')),
    multiple    boolean NOT NULL,
    mandatory   boolean NOT NULL,
    data_type   text CHECK (data_type IN ('INTEGER', 'UNSIGNED_INTEGER', 'FLOAT', 'STRING', 'BOOLEAN', 'TIME', 'OPAQUE',
                                          'OBJLNK', 'CORELINK')),
    range       text,
    units       text,
    PRIMARY KEY (object_id, resource_id, version),
    FOREIGN KEY (object_id, version) REFERENCES object_model ON DELETE CASCADE,
    CHECK (data_type IS NOT NULL OR operations = 'E')
);
CREATE INDEX object_model_resource_version ON object_model_resource (object_id, version);
COMMENT ON TABLE object_model_resource IS 'What a version of an object''s model says of its resources.';
COMMENT ON COLUMN object_model_resource.operations IS 'What it allows: R read, W write, RW, E execute; nothing of what only a bootstrap server writes.';
COMMENT ON COLUMN object_model_resource.data_type IS 'Null of a resource that is only executed.';
COMMENT ON COLUMN object_model_resource.range IS 'RangeEnumeration, as the model has it; flownexus/lwm2m/value_range.py reads it.';

-- What all versions together say of a resource. Where their data types differ, a value keeps the type that Leshan
-- read it with, by the version that its device has.
ALTER TABLE resource_model ALTER COLUMN data_type DROP NOT NULL;
COMMENT ON TABLE resource_model IS 'What the models of all versions say of a resource, seen or not.';
COMMENT ON COLUMN resource_model.data_type IS 'Null where it differs between versions.';
COMMENT ON COLUMN resource_model.name IS 'As the newest version that has the resource has it; units too.';

ALTER TABLE endpoint ADD COLUMN object_versions jsonb;
COMMENT ON COLUMN endpoint.object_versions IS
    'The versions of objects that its registration told, such as {"3303": "1.1"}; what is not there is 1.0 (OMA LwM2M Core 1.1, 7.2.2).';

CREATE FUNCTION version_order(version text) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN string_to_array(version, '.')::integer[];
COMMENT ON FUNCTION version_order IS 'What versions are sorted by: 1.10 is newer than 1.9.';
REVOKE EXECUTE ON FUNCTION version_order FROM PUBLIC;

CREATE FUNCTION refresh_resource_models(of_object integer, resource_ids integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $body$
BEGIN
    DELETE FROM resource_model WHERE object_id = of_object AND resource_id = ANY (resource_ids);
    INSERT INTO resource_model (object_id, resource_id, data_type, name, units)
    SELECT r.object_id, r.resource_id, CASE WHEN count(DISTINCT r.data_type) = 1 THEN min(r.data_type) END,
           (array_agg(r.name ORDER BY version_order(r.version) DESC))[1],
           (array_agg(r.units ORDER BY version_order(r.version) DESC))[1]
    FROM object_model_resource r
    WHERE r.object_id = of_object AND r.resource_id = ANY (resource_ids) AND r.data_type IS NOT NULL
    GROUP BY r.object_id, r.resource_id;
    UPDATE resource_type t
    SET data_type = coalesce(m.data_type, t.data_type), name = m.name, units = m.units
    FROM unnest(resource_ids) AS changed (resource_id)
    LEFT JOIN resource_model m ON m.object_id = of_object AND m.resource_id = changed.resource_id
    WHERE t.object_id = of_object AND t.resource_id = changed.resource_id;
    -- Functions ask anew for what they know of resource types.
    UPDATE catalog_generation SET generation = generation + 1;
END
$body$;
COMMENT ON FUNCTION refresh_resource_models IS
    'Bring resource_model and resource_type up to date with the models of an object''s resources that were added or removed.';
COMMENT ON TABLE catalog_generation IS 'One row; rises when endpoints are deleted, and when models change.';
REVOKE ALL ON FUNCTION refresh_resource_models FROM PUBLIC;

GRANT SELECT, INSERT (object_id, version, name, multiple, xml, added_by), DELETE ON object_model TO flownexus_api;
GRANT SELECT, INSERT ON object_model_resource TO flownexus_api;
GRANT EXECUTE ON FUNCTION version_order, refresh_resource_models TO flownexus_api;
-- The console has operations checked by them.
GRANT SELECT ON object_model_resource TO flownexus_console;
GRANT EXECUTE ON FUNCTION version_order TO flownexus_console;
-- Leshan asks the function registration for users' models.
GRANT SELECT ON object_model, object_model_resource TO flownexus_ingest, flownexus_grafana, flownexus_reader;
GRANT UPDATE (object_versions) ON endpoint TO flownexus_ingest;
