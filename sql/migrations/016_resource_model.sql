-- What the object models say of resources: their data types, names and units.

CREATE TABLE resource_model (
    object_id   integer NOT NULL CHECK (object_id BETWEEN 0 AND 65534),
    resource_id integer NOT NULL CHECK (resource_id BETWEEN 0 AND 65534),
    data_type   text NOT NULL CHECK (data_type IN ('INTEGER', 'UNSIGNED_INTEGER', 'FLOAT', 'STRING', 'BOOLEAN',
                                                   'TIME', 'OPAQUE', 'OBJLNK', 'CORELINK')),
    name        text NOT NULL,
    units       text,
    PRIMARY KEY (object_id, resource_id)
);
COMMENT ON TABLE resource_model IS 'What the object models of OMA''s registry say of a resource, seen or not.';

ALTER TABLE resource_type ADD COLUMN units text;
COMMENT ON COLUMN resource_type.name IS 'As its model has it; null without a model.';
COMMENT ON COLUMN resource_type.units IS 'As its model has them.';
COMMENT ON COLUMN resource_type.data_type IS
    'Its model''s; without a model the one that it was first seen with, OPAQUE only as long as no other was seen.';

-- OPAQUE, which a first sender told, gives way to a better type.
GRANT UPDATE (data_type) ON resource_type TO flownexus_functions;
GRANT SELECT ON resource_model TO flownexus_functions, flownexus_grafana, flownexus_reader;
