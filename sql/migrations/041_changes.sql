-- Streams of what is written: by its time of writing, as far as nothing can come in between any more.

-- As in 031 of values: rows lie in the order in which they were written.
CREATE INDEX event_stored ON event USING brin (stored_at) WITH (pages_per_range = 32, autosummarize = on);

-- What a transaction writes is stamped after its start and seen at its commit. Of those under way that may have
-- stamped anything, the oldest start is a time before which nothing can appear any more. Who writes values may
-- have stamped one before it has a transaction id. Where the owner may not see what others do, thirty seconds.
CREATE FUNCTION change_horizon() RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT least(statement_timestamp(), min(coalesce(xact_start, statement_timestamp() - interval '30 s')))
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type IS DISTINCT FROM 'autovacuum worker'
      AND (backend_xid IS NOT NULL
           OR usename IN ('flownexus_ingest', 'flownexus_dispatch', 'flownexus_functions')
              AND (xact_start IS NOT NULL OR query = '<insufficient privilege>'))
$$;
COMMENT ON FUNCTION change_horizon IS 'A time before which no value, event or operation can be written any more.';
-- narrows: nothing that a version before knows; the function is new.
REVOKE ALL ON FUNCTION change_horizon FROM PUBLIC;
GRANT EXECUTE ON FUNCTION change_horizon TO flownexus_api;
