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

-- name: drop_partitions_of(parent, retention)$
SELECT drop_partitions_of(:parent, make_interval(secs => :retention));

-- name: roll_up(longest)$
SELECT roll_up(make_interval(secs => :longest));

-- name: forget_endpoints(unseen, max_kept, limit)$
SELECT forget_endpoints(make_interval(secs => :unseen), :max_kept, :limit);

-- name: remove_remains(limit)$
SELECT remove_remains(:limit);

-- name: forget_dead_letters(retention, max_kept, limit)!
-- Only the oldest are looked at, by the primary key.
DELETE FROM dead_letter
WHERE id IN (SELECT id
             FROM (SELECT id, received_at FROM dead_letter ORDER BY id LIMIT :limit) AS oldest
             WHERE received_at < clock_timestamp() - make_interval(secs => :retention)
                OR id <= (SELECT id FROM dead_letter ORDER BY id DESC OFFSET :max_kept LIMIT 1));

-- name: forget_marks(retention, max_kept, min_retention, limit)!
-- Those that have not moved for the retention; of more than so many, the longest unmoved before it.
DELETE FROM delivery_mark
WHERE ctid IN (SELECT ctid FROM delivery_mark
               WHERE moved_at < greatest(
                   clock_timestamp() - make_interval(secs => :retention),
                   least(clock_timestamp() - make_interval(secs => :min_retention),
                         coalesce((SELECT moved_at + interval '1 microsecond' FROM delivery_mark
                                   ORDER BY moved_at DESC OFFSET :max_kept LIMIT 1), '-infinity')))
               ORDER BY moved_at
               LIMIT :limit);
