-- name: why_facts(ids, max_contacts)
-- All that answers about operations are made of, in one round trip. What goes next is for next_operation() to say; the
-- rest is why it is not this one, by the same conditions.
SELECT o.id, e.name AS endpoint, o.status, coalesce(o.concerns, o.paths, ARRAY[o.path]) AS targets, o.attempts, o.reason,
       o.last_verdict, o.result ->> 'status' AS coap_status, o.last_attempt_at, o.finished_at, o.not_before,
       o.expires_at, o.superseded_by, clock_timestamp() AS now,
       e.registered, e.first_seen_at, e.last_seen_at, e.expires_at AS registered_until, e.objects,
       e.unreachable_at_contact >= e.contact_count AS unreachable,
       o.retry_after_contact > e.contact_count AS awaits_contact,
       (SELECT count(*)
        FROM endpoint_operation u
        WHERE u.endpoint_id = o.endpoint_id AND u.status = 'QUEUED' AND u.retry_after_contact > 0
          AND u.retry_after_contact > e.contact_count) AS unanswered,
       sending.id AS sending, sending.last_attempt_at AS sending_since,
       CASE WHEN o.registration_id IS NULL THEN (
            SELECT older.id FROM endpoint_operation older
            WHERE older.endpoint_id = o.endpoint_id AND older.status = 'QUEUED' AND older.priority = o.priority
              AND older.id < o.id AND older.registration_id IS NULL
              AND coalesce(older.expires_at > clock_timestamp(), true)
              AND (older.last_attempt_at IS NOT NULL OR coalesce(older.not_before <= clock_timestamp(), true))
              AND EXISTS (
                    SELECT FROM unnest(coalesce(older.concerns, older.paths, ARRAY[older.path])) AS theirs,
                                unnest(coalesce(o.concerns, o.paths, ARRAY[o.path])) AS own
                    WHERE starts_with(theirs || '/', own || '/') OR starts_with(own || '/', theirs || '/'))
            ORDER BY older.id DESC
            LIMIT 1) END AS older_of_target,
       next.id AS next, next.priority > o.priority AS next_has_priority,
       ARRAY(SELECT c.time FROM event c
             WHERE c.endpoint_id = o.endpoint_id AND c.event_type IN ('registered', 'updated', 'heard')
             ORDER BY c.time DESC
             LIMIT :max_contacts) AS contacts,
       (SELECT max(d.time) FROM event d
        WHERE d.endpoint_id = o.endpoint_id AND d.event_type = 'unregistered') AS deregistered_at
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
LEFT JOIN endpoint_operation sending ON sending.endpoint_id = o.endpoint_id AND sending.status = 'SENDING'
LEFT JOIN LATERAL (SELECT n.id, n.priority
                   FROM next_operation(o.endpoint_id) AS chosen
                   JOIN endpoint_operation n ON n.id = chosen.id) AS next ON true
WHERE o.id = ANY (:ids);
