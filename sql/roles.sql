-- One role a purpose. Run before the migrations, by a role that may create roles; may be run again.
-- Passwords are set by whoever runs this, never here. flownexus_functions is that of versions that had one role for
-- most functions: older migrations name it, and no function uses it any more.
DO $$
DECLARE
    purpose text;
BEGIN
    FOREACH purpose IN ARRAY ARRAY[
        'flownexus_ingest', 'flownexus_dispatch', 'flownexus_api', 'flownexus_housekeeping', 'flownexus_firmware',
        'flownexus_download', 'flownexus_grafana', 'flownexus_reader', 'flownexus_console',
        'flownexus_functions'
    ] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', purpose);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- Who holds rows in a transaction and does nothing holds up others: its host may be gone.
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', purpose, '30s');
    END LOOP;
END
$$;

-- Dashboards ask what their users think of: no statement of theirs takes the server for long, or all its connections.
ALTER ROLE flownexus_grafana CONNECTION LIMIT 10;
ALTER ROLE flownexus_grafana SET statement_timeout = '30s';
ALTER ROLE flownexus_grafana SET default_transaction_read_only = on;

-- Likewise who reads by hand.
ALTER ROLE flownexus_reader CONNECTION LIMIT 10;
ALTER ROLE flownexus_reader SET statement_timeout = '5min';
ALTER ROLE flownexus_reader SET default_transaction_read_only = on;
