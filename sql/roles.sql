-- One role a purpose. Run before the migrations, by a role that may create roles; may be run again.
-- Passwords are set by whoever runs this, never here.
DO $$
DECLARE
    purpose text;
BEGIN
    FOREACH purpose IN ARRAY ARRAY['flownexus_functions', 'flownexus_housekeeping', 'flownexus_grafana'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', purpose);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;
