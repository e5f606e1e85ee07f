-- Which migrations a database has; flownexus/migrate.py runs these as the owner of the tables.

-- name: lock()!
-- Held until the connection ends.
SELECT pg_advisory_lock(hashtext('flownexus migrations'));

-- name: create_table()#
CREATE TABLE IF NOT EXISTS schema_migration (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE schema_migration IS 'The migrations that this database has, each with the hash of its file.';

-- name: applied()
SELECT name, sha256 FROM schema_migration ORDER BY name;

-- name: note(name, sha256)!
INSERT INTO schema_migration (name, sha256) VALUES (:name, :sha256);

-- name: has_yoyo()$
-- Whether yoyo-migrations, which was used before, has applied migrations here.
SELECT to_regclass('_yoyo_migration') IS NOT NULL;

-- name: applied_by_yoyo()
SELECT migration_id, applied_at_utc AT TIME ZONE 'UTC' FROM _yoyo_migration ORDER BY migration_id;

-- name: take_over(name, sha256, applied_at)!
INSERT INTO schema_migration (name, sha256, applied_at) VALUES (:name, :sha256, :applied_at);

-- name: drop_yoyo()#
DROP TABLE IF EXISTS _yoyo_migration, _yoyo_log, _yoyo_version, yoyo_lock;
