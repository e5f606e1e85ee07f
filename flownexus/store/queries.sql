-- Every statement of the functions, by noun.

-- catalog

-- name: catalog_identity()$
-- What ids that were looked up earlier hold for, see the view. Statements that use such ids return it with them.
SELECT identity FROM catalog_identity;

-- name: endpoint_ids(names)
-- The ids of the endpoints of these names.
SELECT name, id FROM endpoint WHERE name = ANY(:names);

-- name: add_endpoints(names)!
INSERT INTO endpoint (name) SELECT name FROM unnest(:names::text[]) AS wanted(name) ORDER BY name
ON CONFLICT (name) DO NOTHING;

-- name: resource_types(object_ids, resource_ids)
SELECT t.object_id, t.resource_id, t.id, coalesce(m.data_type, t.data_type), m.data_type IS NOT NULL
FROM resource_type t
JOIN unnest(:object_ids::integer[], :resource_ids::integer[]) AS wanted(object_id, resource_id)
    USING (object_id, resource_id)
LEFT JOIN resource_model m USING (object_id, resource_id);

-- name: add_resource_types(object_ids, resource_ids, data_types)!
-- Types as the models have them, without a model as given. OPAQUE, which says nothing, gives way to what is given later.
INSERT INTO resource_type (object_id, resource_id, data_type, name, units)
SELECT object_id, resource_id, coalesce(m.data_type, given.data_type), m.name, m.units
FROM unnest(:object_ids::integer[], :resource_ids::integer[], :data_types::text[])
     AS given(object_id, resource_id, data_type)
LEFT JOIN resource_model m USING (object_id, resource_id)
ORDER BY 1, 2
ON CONFLICT (object_id, resource_id) DO UPDATE SET data_type = excluded.data_type
WHERE resource_type.data_type = 'OPAQUE' AND excluded.data_type <> 'OPAQUE';

-- telemetry

-- name: next_resource_id_block()$
SELECT nextval('resource_id_block');

-- name: next_event_id_block()$
SELECT nextval('event_id_block');

-- name: copy_resources()#
COPY resource (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
               device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value,
               string_value, opaque_value, object_link_value, core_link_value)
FROM STDIN (FORMAT binary);

-- name: store_few(time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value)^
-- What copy_resources and raise_latest do, in one statement: the shorter way for a few values.
WITH given AS (
    SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time AS time, id, endpoint_id,
           resource_type_id, object_instance_id, resource_instance_id, device_time_ms, boolean_value, integer_value,
           float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value,
           place
    FROM unnest(:time::bigint[], :id::bigint[], :endpoint_id::integer[], :resource_type_id::integer[],
                :object_instance_id::integer[], :resource_instance_id::integer[], :device_time_ms::bigint[],
                :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
                :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
                :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[]) WITH ORDINALITY
         AS given (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms,
                   boolean_value, integer_value, float_value, time_value, unsigned_value, string_value,
                   opaque_value, object_link_value, core_link_value, place)
), stored AS (
    INSERT INTO resource (time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
                          device_time_ms, boolean_value, integer_value, float_value, time_value, unsigned_value,
                          string_value, opaque_value, object_link_value, core_link_value)
    SELECT time, id, endpoint_id, resource_type_id, object_instance_id, resource_instance_id, device_time_ms,
           boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value,
           object_link_value, core_link_value
    FROM given
), latest AS (
INSERT INTO resource_latest AS latest
      (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, resource_id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value)
SELECT DISTINCT ON (endpoint_id, resource_type_id, object_instance_id, resource_instance_id)
       endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value
FROM given
WHERE device_time_ms IS NULL
ORDER BY endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time DESC, place DESC
ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id) DO UPDATE SET
    time = excluded.time, resource_id = excluded.resource_id, boolean_value = excluded.boolean_value,
    integer_value = excluded.integer_value, float_value = excluded.float_value, time_value = excluded.time_value,
    unsigned_value = excluded.unsigned_value, string_value = excluded.string_value,
    opaque_value = excluded.opaque_value, object_link_value = excluded.object_link_value,
    core_link_value = excluded.core_link_value
WHERE latest.time <= excluded.time
)
SELECT identity FROM catalog_identity;

-- name: raise_latest(endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id, boolean_value, integer_value, float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value)^
-- Upsert the newest values, in key order so that writers never wait for each other in a circle.
WITH latest AS (
INSERT INTO resource_latest AS latest
      (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, resource_id,
       boolean_value, integer_value, float_value, time_value, unsigned_value,
       string_value, opaque_value, object_link_value, core_link_value)
SELECT endpoint_id, resource_type_id, object_instance_id, resource_instance_id,
       timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, id, boolean_value, integer_value,
       float_value, time_value, unsigned_value, string_value, opaque_value, object_link_value, core_link_value
FROM unnest(:endpoint_id::integer[], :resource_type_id::integer[], :object_instance_id::integer[],
            :resource_instance_id::integer[], :time::bigint[], :id::bigint[],
            :boolean_value::boolean[], :integer_value::bigint[], :float_value::double precision[],
            :time_value::timestamptz[], :unsigned_value::numeric[], :string_value::text[],
            :opaque_value::bytea[], :object_link_value::text[], :core_link_value::text[])
     AS newest (endpoint_id, resource_type_id, object_instance_id, resource_instance_id, time, id, boolean_value,
                integer_value, float_value, time_value, unsigned_value, string_value, opaque_value,
                object_link_value, core_link_value)
ORDER BY 1, 2, 3, 4
ON CONFLICT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id) DO UPDATE SET
    time = excluded.time, resource_id = excluded.resource_id, boolean_value = excluded.boolean_value,
    integer_value = excluded.integer_value, float_value = excluded.float_value, time_value = excluded.time_value,
    unsigned_value = excluded.unsigned_value, string_value = excluded.string_value,
    opaque_value = excluded.opaque_value, object_link_value = excluded.object_link_value,
    core_link_value = excluded.core_link_value
WHERE latest.time <= excluded.time
)
SELECT identity FROM catalog_identity;

-- name: add_events(time, id, endpoint_id, event_type)!
INSERT INTO event (time, id, endpoint_id, event_type)
SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, id, endpoint_id, event_type
FROM unnest(:time::bigint[], :id::bigint[], :endpoint_id::integer[], :event_type::text[])
     AS added (time, id, endpoint_id, event_type);

-- name: add_event_resources(time, event_id, resource_id)!
INSERT INTO event_resource (time, event_id, resource_id)
SELECT timestamptz '2000-01-01 00:00+00' + interval '1 microsecond' * time, event_id, resource_id
FROM unnest(:time::bigint[], :event_id::bigint[], :resource_id::bigint[]) AS added (time, event_id, resource_id);

-- name: copy_event_resources()#
COPY event_resource (time, event_id, resource_id) FROM STDIN (FORMAT binary);

-- endpoint

-- name: lock_endpoints(ids)!
-- In id order, so that writers never wait for each other in a circle.
SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE;

-- name: register(registration_id, address, lifetime, binding, version, objects, heard_since, look_after, date, default_lifetime, endpoint_id, content_formats)!
-- Times are by PostgreSQL's clock, which they are compared to; dates of registrations by their sender's.
UPDATE endpoint SET
    registered = true, registration_id = :registration_id::text, address = :address::text, lifetime = :lifetime::bigint,
    binding = :binding::text, lwm2m_version = :version::text, content_formats = coalesce(:content_formats::integer[], content_formats),
    objects = coalesce(:objects::text[], objects),
    presence = presence + 1, last_seen_at = statement_timestamp(), expires_at = statement_timestamp() + make_interval(secs => coalesce(:lifetime::bigint, :default_lifetime)),
    heard_since = coalesce(:heard_since::timestamptz, heard_since), reconcile_at = statement_timestamp() + :look_after::interval,
    registered_at = greatest(registered_at, :date::timestamptz)
WHERE id = :endpoint_id;

-- name: update_registration(registration_id, address, lifetime, binding, version, objects, heard_since, default_lifetime, endpoint_id, content_formats)!
-- What an update does not say stays as it was. Other objects, and a gap in what Leshan heard, are looked at soon;
-- as a rule the time stays, and its index with it.
UPDATE endpoint SET
    registered = true, registration_id = coalesce(:registration_id::text, registration_id),
    address = coalesce(:address::text, address), lifetime = coalesce(:lifetime::bigint, lifetime),
    binding = coalesce(:binding::text, binding), lwm2m_version = coalesce(:version::text, lwm2m_version),
    content_formats = coalesce(:content_formats::integer[], content_formats),
    objects = coalesce(:objects::text[], objects), presence = presence + 1, last_seen_at = statement_timestamp(),
    expires_at = statement_timestamp() + make_interval(secs => coalesce(:lifetime::bigint, lifetime, :default_lifetime)),
    heard_since = coalesce(:heard_since::timestamptz, heard_since),
    reconcile_at = CASE
        WHEN reconcile_at IS NULL OR registration_id IS NULL OR :registration_id::text <> registration_id
             OR :objects::text[] <> coalesce(objects, '{}') OR :heard_since::timestamptz > coalesce(heard_since, '-infinity')
        THEN least(reconcile_at, statement_timestamp())
        ELSE reconcile_at
    END
WHERE id = :endpoint_id;

-- name: unregister(endpoint_id, registration_id, date)!
-- Only for the current registration: Leshan tells of the old one's end after a re-registration too, and may be
-- overtaken. Who tells no ids tells the date of the registration that ended.
UPDATE endpoint SET registered = false, expires_at = NULL
WHERE id = :endpoint_id
  AND CASE WHEN :registration_id::text IS NULL OR registration_id IS NULL
           THEN coalesce(:date::timestamptz >= registered_at, true)
           ELSE registration_id = :registration_id::text END;

-- name: enabled_plan()
SELECT operation_type, object_id, object_instance_id, resource_id, pmax FROM observe_plan WHERE enabled ORDER BY id;

-- name: add_planned_operations(endpoint_id, registration_id, operation_types, paths)!
INSERT INTO endpoint_operation (endpoint_id, operation_type, path, priority, registration_id)
SELECT :endpoint_id::integer, planned.operation_type, planned.path, 0, :registration_id::text
FROM unnest(:operation_types::text[], :paths::text[]) WITH ORDINALITY AS planned(operation_type, path, place)
ORDER BY place
ON CONFLICT (endpoint_id, operation_type, path, registration_id) WHERE registration_id IS NOT NULL DO NOTHING;

-- name: drop_older_plan(endpoint_id, registration_id)!
-- What an earlier registration's plan still waits with is asked for again by the new one.
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'the device has registered anew'
WHERE endpoint_id = :endpoint_id AND status = 'QUEUED' AND registration_id <> :registration_id;

-- name: endpoints_to_reconcile(limit)
-- Longest due first; a registration event that is being stored is left for the next round.
SELECT id, name, registration_id, objects, heard_since
FROM endpoint
WHERE registered AND reconcile_at <= statement_timestamp() AND registration_id IS NOT NULL
ORDER BY reconcile_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED;

-- name: known_of_planned(endpoint_ids, registration_ids, operation_types, paths, object_ids, object_instance_ids, resource_ids)
-- A value counts as of its own time, but not as of later than it was stored: a device's clock may be ahead.
SELECT o.status, o.finished_at,
       (SELECT max(least(latest.time, r.stored_at))
        FROM resource_type t
        JOIN resource_latest latest ON latest.endpoint_id = wanted.endpoint_id AND latest.resource_type_id = t.id
        LEFT JOIN resource r ON r.time = latest.time AND r.id = latest.resource_id
        WHERE t.object_id = wanted.object_id
          AND (wanted.resource_id IS NULL OR t.resource_id = wanted.resource_id)
          AND (wanted.object_instance_id IS NULL OR latest.object_instance_id = wanted.object_instance_id)),
       EXISTS (SELECT FROM endpoint_operation c
               WHERE c.endpoint_id = wanted.endpoint_id AND c.path = wanted.path
                 AND c.operation_type = 'cancel-observe' AND c.status = 'CONFIRMED' AND c.finished_at > o.finished_at)
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[], :operation_types::text[], :paths::text[],
            :object_ids::integer[], :object_instance_ids::integer[], :resource_ids::integer[]) WITH ORDINALITY
     AS wanted(endpoint_id, registration_id, operation_type, path, object_id, object_instance_id, resource_id, place)
LEFT JOIN endpoint_operation o
       ON o.endpoint_id = wanted.endpoint_id AND o.operation_type = wanted.operation_type
      AND o.path = wanted.path AND o.registration_id = wanted.registration_id
ORDER BY wanted.place;

-- name: renew_planned(endpoint_ids, registration_ids, operation_types, paths)!
-- A planned operation has one row in a registration, which is queued anew.
INSERT INTO endpoint_operation AS planned (endpoint_id, registration_id, operation_type, path, priority)
SELECT endpoint_id, registration_id, operation_type, path, 0
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[], :operation_types::text[], :paths::text[])
     WITH ORDINALITY AS wanted(endpoint_id, registration_id, operation_type, path, place)
ORDER BY place
ON CONFLICT (endpoint_id, operation_type, path, registration_id) WHERE registration_id IS NOT NULL DO UPDATE SET
    status = 'QUEUED', attempts = 0, waits_for_presence = 0, not_before = NULL, result = NULL, reason = NULL,
    created_at = clock_timestamp(), last_attempt_at = NULL, finished_at = NULL
WHERE planned.status NOT IN ('QUEUED', 'SENDING');

-- name: reconcile_next(ids, times)!
UPDATE endpoint SET reconcile_at = next.time
FROM unnest(:ids::integer[], :times::timestamptz[]) AS next(id, time)
WHERE endpoint.id = next.id;

-- delivery

-- name: lock_mark(source, kind, lane)$
-- Take the mark of (source, kind, lane) for this transaction, making it if it is new.
INSERT INTO delivery_mark (source, kind, lane) VALUES (:source, :kind, :lane)
ON CONFLICT (source, kind, lane) DO UPDATE SET mark = delivery_mark.mark
RETURNING mark;

-- name: move_mark(mark, gap, source, kind, lane)!
UPDATE delivery_mark SET mark = :mark, gaps = gaps + :gap, moved_at = clock_timestamp()
WHERE source = :source AND kind = :kind AND lane = :lane;

-- name: add_dead_letters(kind, source, lane, reasons, items, seqs)!
INSERT INTO dead_letter (kind, reason, item, source, lane, seq)
SELECT :kind, reason, item, :source::uuid, :lane::integer, seq
FROM unnest(:reasons::text[], :items::text[], :seqs::bigint[]) WITH ORDINALITY AS dead(reason, item, seq, place)
ORDER BY place;

-- operation

-- name: seen_data_type(object_id, resource_id)$
-- By its model, whether it was seen or not.
SELECT coalesce((SELECT data_type FROM resource_model WHERE object_id = :object_id AND resource_id = :resource_id),
                (SELECT data_type FROM resource_type WHERE object_id = :object_id AND resource_id = :resource_id));

-- name: add_operation(endpoint, operation, path, value, arguments, repeatable, priority, idempotency_key, fingerprint, most)^
-- None where the endpoint was never seen, has too many that wait, or the key was used before.
INSERT INTO endpoint_operation (endpoint_id, operation_type, path, value, arguments, repeatable, priority,
                                idempotency_key, request_fingerprint)
SELECT e.id, :operation, :path, :value, :arguments, :repeatable, :priority, :idempotency_key::text, :fingerprint::bytea
FROM endpoint e
WHERE e.name = :endpoint
  AND (SELECT count(*)
       FROM (SELECT FROM endpoint_operation q
             WHERE q.endpoint_id = e.id AND q.status = 'QUEUED' AND q.registration_id IS NULL
             LIMIT :most) AS waiting) < :most
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id, :endpoint::text AS endpoint, operation_type AS operation, path, value, arguments, repeatable,
          priority, status, attempts, result, reason, created_at, last_attempt_at, finished_at;

-- name: operation_of_key(idempotency_key)^
SELECT id, request_fingerprint FROM endpoint_operation WHERE idempotency_key = :idempotency_key;

-- name: operation(id)^
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.id = :id;

-- name: operations(endpoint, status, cursor, limit)
-- The newest first, older than the cursor.
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE (:endpoint::text IS NULL OR o.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint))
  AND (:status::text IS NULL OR o.status = :status)
  AND (:cursor::bigint IS NULL OR o.id < :cursor)
ORDER BY o.id DESC
LIMIT :limit;

-- name: cancel_operation(id)!
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'cancelled by its user'
WHERE id = :id AND coalesce(status = 'QUEUED', false);

-- name: try_lock_endpoints_named(names)
-- The lock makes claims of one endpoint go one after the other; values and foreign keys do not wait for it. Who
-- else holds one is not waited for: it would hold up the others.
SELECT id, name FROM endpoint WHERE name = ANY(:names::text[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: try_lock_endpoints(ids)
SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- Where the row of an open operation is known by its id, coalesce() keeps the planner from the indexes of open ones,
-- which its statistics know as empty (see next_operation).

-- name: claim_operation(endpoint_id, lease)^
-- For the holder of the endpoint's lock, as a statement of its own: the one that takes the lock may not see all that
-- was committed just before.
UPDATE endpoint_operation o
SET status = 'SENDING', attempts = o.attempts + 1, fence = nextval('claim_fence'), last_attempt_at = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => :lease), not_before = NULL
FROM next_operation(:endpoint_id) AS chosen
WHERE o.id = chosen.id AND coalesce(o.status = 'QUEUED', false)
RETURNING o.id, o.fence, o.endpoint_id, chosen.presence, o.operation_type, o.path, o.value, o.arguments,
          o.repeatable, o.attempts,
          (SELECT write_format FROM endpoint WHERE id = :endpoint_id),
          (SELECT content_formats FROM endpoint WHERE id = :endpoint_id), o.formats_refused;

-- name: renew_leases(ids, fences, lease)
-- Of claims that are the newest. Who holds a row is about to settle it, and is not waited for.
WITH held AS MATERIALIZED (
    SELECT o.id
    FROM unnest(:ids::bigint[], :fences::bigint[]) AS mine(id, fence)
    JOIN endpoint_operation o ON o.id = mine.id
    WHERE o.fence = mine.fence AND coalesce(o.status = 'SENDING', false)
    FOR NO KEY UPDATE OF o SKIP LOCKED
)
UPDATE endpoint_operation o
SET lease_expires_at = clock_timestamp() + make_interval(secs => :lease)
FROM held
WHERE o.id = held.id
RETURNING o.id, o.fence;

-- name: has_eligible_operation(endpoint_id)$
SELECT EXISTS (SELECT FROM next_operation(:endpoint_id));

-- name: learn_write_format(endpoint_id, format)!
UPDATE endpoint SET write_format = :format WHERE id = :endpoint_id;

-- name: mark_absent(endpoint_id, presence)!
UPDATE endpoint SET absent_at_presence = greatest(absent_at_presence, :presence) WHERE id = :endpoint_id;

-- name: settle_operation(status, given_back, result, reason, newer_than_now, waits_for_presence, delay, refused_format, finished, id, fence)!
-- Counts only for the worker whose claim is the newest. The endpoint's lock makes who claims meanwhile wait
-- for the commit, instead of going without, since one is under way that has just ended.
WITH owner AS MATERIALIZED (
    SELECT presence FROM endpoint
    WHERE id = (SELECT endpoint_id FROM endpoint_operation WHERE id = :id)
    FOR NO KEY UPDATE
)
UPDATE endpoint_operation o
SET status = :status, lease_expires_at = NULL, attempts = o.attempts - :given_back, result = :result,
    reason = :reason,
    waits_for_presence = CASE WHEN :newer_than_now THEN owner.presence + 1
                              ELSE coalesce(:waits_for_presence::bigint, o.waits_for_presence) END,
    formats_refused = CASE WHEN :refused_format::text IS NULL THEN o.formats_refused
                           ELSE o.formats_refused || :refused_format::text END,
    not_before = clock_timestamp() + make_interval(secs => :delay::double precision),
    finished_at = CASE WHEN :finished THEN clock_timestamp() END
FROM owner
WHERE o.id = :id AND o.fence = :fence AND coalesce(o.status = 'SENDING', false);

-- name: expired_operations_of_endpoints(names)
SELECT o.id, o.fence, o.operation_type, o.repeatable, o.attempts, e.name
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE e.name = ANY(:names::text[]) AND o.lease_expires_at <= statement_timestamp()
FOR UPDATE OF o;

-- name: expired_operations(limit)
SELECT o.id, o.fence, o.operation_type, o.repeatable, o.attempts, e.name
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.lease_expires_at <= statement_timestamp()
ORDER BY o.lease_expires_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED; -- of both: an endpoint that somebody holds is left for the next round

-- name: endpoints_to_wake(untouched, but, limit)
-- Those that could be sent something for a while already: the wake-up was lost, or nobody could act on it. And those
-- that are to be asked again, of which nobody else tells.
SELECT e.name, ARRAY[next.id]
FROM (SELECT DISTINCT endpoint_id
      FROM endpoint_operation
      WHERE status = 'QUEUED'
        AND coalesce(not_before, greatest(created_at, last_attempt_at) + make_interval(secs => :untouched))
            <= clock_timestamp()) AS waiting
JOIN endpoint e ON e.id = waiting.endpoint_id
CROSS JOIN LATERAL next_operation(e.id) AS next
WHERE next.id <> ALL (:but::bigint[])
  AND coalesce(next.not_before, next.touched_at + make_interval(secs => :untouched)) <= clock_timestamp()
ORDER BY next.touched_at
LIMIT :limit;

-- housekeeping

-- name: try_housekeeping_lock(lock, step)$
-- Held until the transaction ends; two rounds at once do each step once.
SELECT pg_try_advisory_xact_lock(:lock, :step);

-- name: forget_expired_endpoints(grace, limit)!
UPDATE endpoint SET registered = false
WHERE id IN (SELECT id FROM endpoint
             WHERE registered AND expires_at < clock_timestamp() - make_interval(secs => :grace)
             ORDER BY id
             LIMIT :limit
             FOR NO KEY UPDATE SKIP LOCKED);

-- name: forget_operations(retention, limit)$
SELECT forget_operations(make_interval(secs => :retention), :limit);

-- name: make_partitions(months_ahead)$
SELECT make_partitions(:months_ahead);

-- name: drop_partitions(retention)$
SELECT drop_partitions(make_interval(secs => :retention));

-- name: forget_endpoints(unseen, most, limit)$
SELECT forget_endpoints(make_interval(secs => :unseen), :most, :limit);

-- name: forget_dead_letters(retention, most, limit)!
-- Only the oldest are looked at, by the primary key.
DELETE FROM dead_letter
WHERE id IN (SELECT id
             FROM (SELECT id, received_at FROM dead_letter ORDER BY id LIMIT :limit) AS oldest
             WHERE received_at < clock_timestamp() - make_interval(secs => :retention)
                OR id <= (SELECT id FROM dead_letter ORDER BY id DESC OFFSET :most LIMIT 1));

-- name: forget_marks(retention, most, least, limit)!
-- Those that have not moved for the retention; of more than so many, the longest unmoved before it.
DELETE FROM delivery_mark
WHERE ctid IN (SELECT ctid FROM delivery_mark
               WHERE moved_at < greatest(
                   clock_timestamp() - make_interval(secs => :retention),
                   least(clock_timestamp() - make_interval(secs => :least),
                         coalesce((SELECT moved_at + interval '1 microsecond' FROM delivery_mark
                                   ORDER BY moved_at DESC OFFSET :most LIMIT 1), '-infinity')))
               ORDER BY moved_at
               LIMIT :limit);

-- name: set_statement_timeout(timeout)$
SELECT set_config('statement_timeout', :timeout, true);
