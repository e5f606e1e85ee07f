-- name: lock_endpoints(ids)!
-- In id order, so that writers never wait for each other in a circle.
SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE;

-- name: register(registration_id, address, lifetime, binding, version, objects, heard_since, look_after, date, default_lifetime, endpoint_id, content_formats, awake_s, awake_told, object_versions, secure)!
-- Times are by PostgreSQL's clock, which they are compared to; dates of registrations by their sender's.
UPDATE endpoint SET
    registered = true, registration_id = :registration_id::text, address = :address::text, lifetime = :lifetime::bigint,
    binding = :binding::text, lwm2m_version = :version::text, content_formats = coalesce(:content_formats::integer[], content_formats),
    objects = coalesce(:objects::text[], objects), object_versions = coalesce(:object_versions::jsonb, object_versions),
    contact_count = contact_count + 1, last_seen_at = statement_timestamp(), expires_at = statement_timestamp() + make_interval(secs => coalesce(:lifetime::bigint, :default_lifetime)),
    heard_since = coalesce(:heard_since::timestamptz, heard_since), reconcile_at = statement_timestamp() + :look_after::interval,
    registered_at = greatest(registered_at, :date::timestamptz), awake_time_s = :awake_s::double precision, awake_time_told = :awake_told,
    secure = :secure::boolean
WHERE id = :endpoint_id;

-- name: update_registration(registration_id, address, lifetime, binding, version, objects, heard_since, default_lifetime, endpoint_id, content_formats, awake_s, awake_told, object_versions, secure)!
-- What an update does not say stays as it was. Other objects, and a gap in what Leshan heard, are looked at soon;
-- as a rule the time stays, and its index with it.
UPDATE endpoint SET
    registered = true, registration_id = coalesce(:registration_id::text, registration_id),
    address = coalesce(:address::text, address), lifetime = coalesce(:lifetime::bigint, lifetime),
    binding = coalesce(:binding::text, binding), lwm2m_version = coalesce(:version::text, lwm2m_version),
    content_formats = coalesce(:content_formats::integer[], content_formats),
    objects = coalesce(:objects::text[], objects), object_versions = coalesce(:object_versions::jsonb, object_versions),
    contact_count = contact_count + 1, last_seen_at = statement_timestamp(),
    expires_at = statement_timestamp() + make_interval(secs => coalesce(:lifetime::bigint, lifetime, :default_lifetime)),
    awake_time_s = coalesce(:awake_s::double precision, awake_time_s), awake_time_told = :awake_told,
    heard_since = coalesce(:heard_since::timestamptz, heard_since), secure = coalesce(:secure::boolean, secure),
    reconcile_at = CASE
        WHEN reconcile_at IS NULL OR registration_id IS NULL OR :registration_id::text <> registration_id
             OR :objects::text[] <> coalesce(objects, '{}') OR :heard_since::timestamptz > coalesce(heard_since, '-infinity')
        THEN least(reconcile_at, statement_timestamp())
        ELSE reconcile_at
    END
WHERE id = :endpoint_id;

-- name: hear(endpoint_id, registration_id, address, heard_since)!
-- It can be reached again, at this address. Its lifetime goes on as it was: only an update extends it.
UPDATE endpoint SET
    address = coalesce(:address::text, address), contact_count = contact_count + 1, last_seen_at = statement_timestamp(),
    reconcile_at = CASE
        WHEN :heard_since::timestamptz > coalesce(heard_since, '-infinity') THEN least(reconcile_at, statement_timestamp())
        ELSE reconcile_at
    END,
    heard_since = coalesce(:heard_since::timestamptz, heard_since)
WHERE id = :endpoint_id AND coalesce(registration_id = :registration_id::text, true);

-- name: see(ids, times)
-- Values of these endpoints came. Who holds a row is not waited for: the next values say the same.
UPDATE endpoint e SET last_seen_at = greatest(e.last_seen_at, least(seen.time, statement_timestamp()))
FROM (SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS free
JOIN unnest(:ids::integer[], :times::timestamptz[]) AS seen(id, time) USING (id)
WHERE e.id = free.id
RETURNING e.id, extract(epoch FROM awake_time(e))::double precision;

-- name: unregister(endpoint_id, registration_id, date)!
-- Only for the current registration: Leshan tells of the old one's end after a re-registration too, and may be
-- overtaken. Who tells no ids tells the date of the registration that ended.
UPDATE endpoint SET registered = false, expires_at = NULL
WHERE id = :endpoint_id
  AND CASE WHEN :registration_id::text IS NULL OR registration_id IS NULL
           THEN coalesce(:date::timestamptz >= registered_at, true)
           ELSE registration_id = :registration_id::text END;
