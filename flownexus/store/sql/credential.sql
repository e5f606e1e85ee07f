-- name: next_revision(count)$
-- Of changes of so many endpoints: they have those that follow it. Others that change some wait until the commit.
UPDATE enrolment SET revision = revision + :count RETURNING revision - :count;

-- name: enrol_endpoints(names, after)!
-- Each has a revision of its own, so that a part of them can be told apart.
INSERT INTO enrolled_endpoint (name, revision)
SELECT name, :after + place FROM unnest(:names::text[]) WITH ORDINALITY AS given (name, place)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision;

-- name: taken_identities(identities)
SELECT identity, endpoint FROM device_credential WHERE identity = ANY(:identities::text[]) AND revoked_at IS NULL;

-- name: taken_fingerprints(fingerprints)
SELECT fingerprint, endpoint, id FROM device_credential
WHERE fingerprint = ANY(:fingerprints::text[]) AND revoked_at IS NULL;

-- name: add_credential(endpoint, mode, identity, sealed_key, public_key, fingerprint, created_by, expires_at)^
INSERT INTO device_credential (endpoint, mode, identity, sealed_key, public_key, fingerprint, created_by, expires_at)
VALUES (:endpoint, :mode, :identity, :sealed_key, :public_key, :fingerprint, :created_by, :expires_at)
RETURNING id, endpoint, mode, identity, fingerprint, created_at, created_by, expires_at, revoked_at, revoked_by;

-- name: credential(id)^
SELECT id, endpoint, mode, identity, fingerprint, created_at, created_by, expires_at, revoked_at, revoked_by
FROM device_credential
WHERE id = :id;

-- name: credentials(cursor, limit, endpoint, valid)
-- The newest first, older than the cursor.
SELECT id, endpoint, mode, identity, fingerprint, created_at, created_by, expires_at, revoked_at, revoked_by
FROM device_credential
WHERE (:cursor::bigint IS NULL OR id < :cursor)
  AND (:endpoint::text IS NULL OR endpoint = :endpoint)
  AND (:valid::boolean IS NULL
       OR :valid = (revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true)))
ORDER BY id DESC
LIMIT :limit;

-- name: revoke_credential(id, revoked_by)!
UPDATE device_credential SET revoked_at = clock_timestamp(), revoked_by = :revoked_by, sealed_key = NULL
WHERE id = :id AND revoked_at IS NULL;

-- name: end_credential(id, after_s)!
-- In so many seconds, or when it would have ended anyway.
UPDATE device_credential
SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => :after_s::double precision))
WHERE id = :id;

-- name: enrolment()^
SELECT source::text AS source, revision, unenrolled, EXISTS (SELECT FROM enrolled_endpoint) AS any_enrolled FROM enrolment;

-- name: set_unenrolled(unenrolled)!
UPDATE enrolment SET unenrolled = :unenrolled, revision = revision + 1 WHERE unenrolled <> :unenrolled;

-- name: endpoints_changed(after, limit)
SELECT name, revision FROM enrolled_endpoint WHERE revision > :after ORDER BY revision LIMIT :limit;

-- name: valid_credentials(endpoints)
-- Those that are valid now, the newest first.
SELECT endpoint, mode, identity, sealed_key, public_key, fingerprint, expires_at
FROM device_credential
WHERE endpoint = ANY(:endpoints::text[]) AND revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true)
ORDER BY endpoint, id DESC;
