-- The console adds and removes users' models of objects, as flownexus_api does (029).

GRANT SELECT, INSERT (object_id, version, name, multiple, xml, added_by), DELETE ON object_model TO flownexus_console;
GRANT INSERT ON object_model_resource TO flownexus_console;
GRANT EXECUTE ON FUNCTION refresh_resource_models TO flownexus_console;
