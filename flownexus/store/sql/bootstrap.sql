-- name: bootstrap_profiles()
SELECT name, server_uri, short_server_id, lifetime, binding, min_period, max_period, disable_timeout,
       store_notifications, objects, changed_by, changed_at
FROM bootstrap_profile
ORDER BY name;

-- name: bootstrap_profile(name)^
SELECT name, server_uri, short_server_id, lifetime, binding, min_period, max_period, disable_timeout,
       store_notifications, objects, changed_by, changed_at
FROM bootstrap_profile
WHERE name = :name;

-- name: put_bootstrap_profile(name, server_uri, short_server_id, lifetime, binding, min_period, max_period, disable_timeout, store_notifications, objects, changed_by)$
-- Returns whether there was none.
INSERT INTO bootstrap_profile (name, server_uri, short_server_id, lifetime, binding, min_period, max_period,
                               disable_timeout, store_notifications, objects, changed_by)
VALUES (:name, :server_uri, :short_server_id, :lifetime, :binding, :min_period, :max_period,
        :disable_timeout, :store_notifications, :objects::jsonb, :changed_by)
ON CONFLICT (name) DO UPDATE
SET server_uri = excluded.server_uri, short_server_id = excluded.short_server_id, lifetime = excluded.lifetime,
    binding = excluded.binding, min_period = excluded.min_period, max_period = excluded.max_period,
    disable_timeout = excluded.disable_timeout, store_notifications = excluded.store_notifications,
    objects = excluded.objects, changed_by = excluded.changed_by, changed_at = clock_timestamp()
RETURNING xmax = 0 AS added;

-- name: bootstrap_profile_in_use(name)$
SELECT EXISTS (SELECT FROM factory_credential WHERE profile = :name);

-- name: remove_bootstrap_profile(name)!
DELETE FROM bootstrap_profile WHERE name = :name;

-- name: add_factory_credential(endpoint, identity, sealed_key, profile, created_by)$
-- Null where endpoint or identity have one already.
INSERT INTO factory_credential (endpoint, identity, sealed_key, profile, created_by)
VALUES (:endpoint, :identity, :sealed_key, :profile, :created_by)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: taken_factory_credential(endpoint, identity)^
SELECT id, endpoint, identity FROM factory_credential
WHERE revoked_at IS NULL AND (endpoint = :endpoint OR identity = :identity)
ORDER BY id
LIMIT 1;

-- name: factory_credential(id)^
SELECT f.id, f.endpoint, f.identity, f.profile, f.created_at, f.created_by, factory_used_at(f) AS used_at,
       f.revoked_at, f.revoked_by
FROM factory_credential f
WHERE f.id = :id;

-- name: factory_credentials(cursor, limit, endpoint)
-- The newest first, older than the cursor.
SELECT f.id, f.endpoint, f.identity, f.profile, f.created_at, f.created_by, factory_used_at(f) AS used_at,
       f.revoked_at, f.revoked_by
FROM factory_credential f
WHERE (:cursor::bigint IS NULL OR f.id < :cursor) AND (:endpoint::text IS NULL OR f.endpoint = :endpoint)
ORDER BY f.id DESC
LIMIT :limit;

-- name: factory_key(identity)^
-- Of the one that counts.
SELECT f.id, f.endpoint, f.sealed_key, f.profile, f.handed_id, f.given_id, factory_used_at(f) IS NOT NULL AS is_used
FROM factory_credential f
WHERE f.identity = :identity AND f.revoked_at IS NULL;

-- name: lock_factory_credential(id)$
SELECT id FROM factory_credential WHERE id = :id FOR UPDATE;

-- name: lock_factory_identity(identity)$
-- Sessions of one device begin one after the other.
SELECT id FROM factory_credential WHERE identity = :identity AND revoked_at IS NULL FOR UPDATE;

-- name: hand_out(id, credential_id)!
UPDATE factory_credential SET handed_id = :credential_id, handed_at = clock_timestamp() WHERE id = :id;

-- name: given_before(id)$
SELECT given_id FROM factory_credential WHERE id = :id;

-- name: use_up_factory_credential(id, credential_id)!
UPDATE factory_credential
SET used_at = clock_timestamp(), given_id = :credential_id, handed_id = NULL, handed_at = NULL
WHERE id = :id;

-- name: allow_factory_credential(id)!
-- What it was handed counts as given: it is replaced once the device has bootstrapped again.
UPDATE factory_credential
SET used_at = NULL, given_id = coalesce(handed_id, given_id), handed_id = NULL, handed_at = NULL
WHERE id = :id;

-- name: revoke_factory_credential(id, revoked_by)!
UPDATE factory_credential SET revoked_at = clock_timestamp(), revoked_by = :revoked_by, sealed_key = NULL
WHERE id = :id AND revoked_at IS NULL;

-- name: begin_bootstrap(endpoint, factory_credential_id, credential_id, address)$
INSERT INTO bootstrap_session (endpoint, factory_credential_id, credential_id, address, state)
VALUES (:endpoint, :factory_credential_id, :credential_id, :address, 'begun')
RETURNING id;

-- name: end_bootstraps(endpoint, detail)!
-- Of sessions that another one has taken the place of.
UPDATE bootstrap_session SET state = 'failed', detail = :detail, ended_at = clock_timestamp()
WHERE endpoint = :endpoint AND state = 'begun';

-- name: end_bootstrap(id, state, detail)!
UPDATE bootstrap_session SET state = :state, detail = :detail, ended_at = clock_timestamp()
WHERE id = :id AND state = 'begun';

-- name: refused_bootstrap_again(endpoint, address, detail)$
-- Counts a refusal as the one before, if that is the endpoint's newest session, and says so.
UPDATE bootstrap_session SET times = times + 1, ended_at = clock_timestamp()
WHERE id = (SELECT max(id) FROM bootstrap_session WHERE endpoint = :endpoint)
  AND state = 'refused' AND detail = :detail AND address = :address
RETURNING id;

-- name: refuse_bootstrap(endpoint, factory_credential_id, address, detail)!
INSERT INTO bootstrap_session (endpoint, factory_credential_id, address, state, detail, ended_at)
VALUES (:endpoint, :factory_credential_id, :address, 'refused', :detail, clock_timestamp());

-- name: forget_bootstraps(endpoint, of_endpoint, of_all)!
DELETE FROM bootstrap_session
WHERE (endpoint = :endpoint AND id < (
          SELECT id FROM bootstrap_session WHERE endpoint = :endpoint ORDER BY id DESC OFFSET :of_endpoint - 1 LIMIT 1))
   OR id < (SELECT id FROM bootstrap_session ORDER BY id DESC OFFSET :of_all - 1 LIMIT 1);

-- name: bootstrap_session_to_end(id)^
SELECT factory_credential_id, credential_id, state FROM bootstrap_session WHERE id = :id;

-- name: bootstrap_sessions(cursor, limit, endpoint)
-- The newest first, older than the cursor.
SELECT id, endpoint, factory_credential_id, credential_id, address, state, detail, times, begun_at, ended_at
FROM bootstrap_session
WHERE (:cursor::bigint IS NULL OR id < :cursor) AND (:endpoint::text IS NULL OR endpoint = :endpoint)
ORDER BY id DESC
LIMIT :limit;
