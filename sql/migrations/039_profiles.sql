-- What is read and observed is data that people change by REST: profiles, which take the place of observe_plan.
-- narrows: what is revoked from everybody are functions that are new.

CREATE TABLE profile (
    id                integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
    filter            text NOT NULL,
    tree              jsonb NOT NULL,
    priority          integer NOT NULL DEFAULT 100,
    plan              jsonb NOT NULL CHECK (jsonb_typeof(plan) = 'array'),
    awake_time_s      integer CHECK (awake_time_s > 0),
    request_timeout_s integer CHECK (request_timeout_s > 0),
    content_format    text CHECK (content_format <> ''),
    enabled           boolean NOT NULL DEFAULT true,
    changed_by        text NOT NULL,
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE profile IS
    'What is read and observed of the endpoints that fit a filter. One applies to an endpoint: of those enabled that fit, the one '
    'with the highest priority, of equals the first by name.';
COMMENT ON COLUMN profile.tree IS 'The filter as endpoint_matches() reads it.';
COMMENT ON COLUMN profile.plan IS 'Entries, as flownexus/operations/plan.py describes them.';
COMMENT ON COLUMN profile.awake_time_s IS 'How long a device listens after it was heard, in queue mode; null: as the server has it.';
COMMENT ON COLUMN profile.request_timeout_s IS 'How long an answer of a device is waited for; null: as the functions have it.';
COMMENT ON COLUMN profile.content_format IS 'In which format writes go until a device has shown that it takes another; null: any.';
COMMENT ON COLUMN profile.changed_by IS 'The name of the caller that changed it last.';

-- As people had it in observe_plan, which functions of the version before still read; and what was documented and not there.
INSERT INTO profile (name, filter, tree, priority, plan, changed_by)
SELECT 'default', '', '{"all": []}', 0,
       coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
           'operation', operation_type,
           'paths', jsonb_build_array('/' || object_id || coalesce('/' || coalesce(object_instance_id::text,
                                      CASE WHEN resource_id IS NOT NULL THEN '*' END), '') || coalesce('/' || resource_id, '')),
           'reports_within', pmax)) ORDER BY id), '[]')
       || CASE WHEN NOT bool_or(object_id = 3304) THEN '[{"operation": "observe", "paths": ["/3304/*/5700"]}]' ELSE '[]' END::jsonb
       || CASE WHEN NOT bool_or(object_id = 10300)
               THEN '[{"operation": "observe", "paths": ["/10300"], "group": "all"}]' ELSE '[]' END::jsonb,
       'migration'
FROM observe_plan
WHERE enabled;
COMMENT ON TABLE observe_plan IS 'What functions of the version before read; profile has taken its place.';

ALTER TABLE endpoint ADD COLUMN profile_id integer REFERENCES profile ON DELETE SET NULL;
COMMENT ON COLUMN endpoint.profile_id IS 'The profile that applied when its registration was last compared to one.';

ALTER TABLE endpoint_operation ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN endpoint_operation.withdrawn IS 'Its profile does not ask for it any more, and would have it queued anew.';
COMMENT ON COLUMN endpoint_operation.registration_id IS 'Set on operations of a profile: the registration they belong to.';
COMMENT ON COLUMN endpoint_operation.requested_by IS
    'The name of the caller that queued it; observe-plan for what a profile asks for; null in rows from before callers had names.';
CREATE UNIQUE INDEX endpoint_operation_planned_paths_once ON endpoint_operation (endpoint_id, operation_type, paths, registration_id)
    WHERE registration_id IS NOT NULL AND paths IS NOT NULL;
CREATE INDEX endpoint_operation_composites_taken_back ON endpoint_operation (endpoint_id)
    WHERE operation_type = 'cancel-observe-composite';

-- Who stores registrations may have profiles' operations queued, and write no value: attributes are all that these have.
CREATE FUNCTION queue_planned(endpoint_ids integer[], registration_ids text[], operation_types text[], single_paths text[],
                              several_paths jsonb[], attributes jsonb[], again boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT operation_types <@ '{read,read-composite,observe,observe-composite,write-attributes,cancel-observe,cancel-observe-composite}'
    THEN
        RAISE EXCEPTION 'a profile asks for reads, observations, their attributes and their end, not for each of %', operation_types
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF again THEN
        UPDATE endpoint_operation o
        SET status = 'QUEUED', attempts = 0, retry_after_contact = 0, not_before = NULL, result = NULL, reason = NULL,
            last_verdict = NULL, created_at = clock_timestamp(), last_attempt_at = NULL, finished_at = NULL,
            withdrawn = false, value = wanted.value
        FROM unnest(endpoint_ids, registration_ids, operation_types, single_paths, several_paths, attributes)
             AS wanted(endpoint_id, registration_id, operation_type, path, paths, value)
        WHERE o.id = (SELECT p.id FROM endpoint_operation p
                      WHERE p.endpoint_id = wanted.endpoint_id AND p.registration_id = wanted.registration_id
                        AND p.operation_type = wanted.operation_type AND p.path IS NOT DISTINCT FROM wanted.path
                        AND (wanted.paths IS NULL
                             OR p.paths = ARRAY(SELECT jsonb_array_elements_text(wanted.paths))))
          AND o.status <> 'SENDING';
    END IF;
    INSERT INTO endpoint_operation (endpoint_id, registration_id, operation_type, path, paths, value, priority, requested_by)
    SELECT endpoint_id, registration_id, operation_type, path,
           CASE WHEN paths IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(paths)) END, value,
           CASE WHEN starts_with(operation_type, 'cancel-') THEN 1 ELSE 0 END, 'observe-plan'
    FROM unnest(endpoint_ids, registration_ids, operation_types, single_paths, several_paths, attributes) WITH ORDINALITY
         AS wanted(endpoint_id, registration_id, operation_type, path, paths, value, place)
    ORDER BY place
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION queue_planned IS
    'Queue what profiles ask for; again: what its registration has is queued anew, unless it is under way. What ends an observation '
    'goes before what begins one.';
REVOKE ALL ON FUNCTION queue_planned FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue_planned TO flownexus_ingest, flownexus_housekeeping;

GRANT SELECT ON profile TO flownexus_ingest, flownexus_dispatch, flownexus_housekeeping, flownexus_grafana, flownexus_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON profile TO flownexus_api;
GRANT UPDATE (profile_id) ON endpoint TO flownexus_ingest, flownexus_housekeeping;
GRANT UPDATE (reconcile_at) ON endpoint TO flownexus_api;
GRANT SELECT (endpoint_id, resource_type_id, object_instance_id, time) ON resource_latest TO flownexus_api;
GRANT UPDATE (withdrawn) ON endpoint_operation TO flownexus_housekeeping;
GRANT SELECT (id) ON endpoint_operation TO flownexus_ingest;

-- As in 038, with the profile.
CREATE OR REPLACE FUNCTION endpoint_matches(e endpoint, filter jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts jsonb := coalesce(filter -> 'all', filter -> 'any');
    pattern text := filter ->> 'like';
    wanted text := filter ->> 'value';
    at timestamptz;
BEGIN
    IF parts IS NOT NULL THEN
        FOR place IN 0 .. jsonb_array_length(parts) - 1 LOOP
            IF endpoint_matches(e, parts -> place) <> (filter ? 'all') THEN
                RETURN filter ? 'any';
            END IF;
        END LOOP;
        RETURN filter ? 'all';
    ELSIF filter ? 'not' THEN
        RETURN NOT endpoint_matches(e, filter -> 'not');
    END IF;
    CASE filter ->> 'field'
        WHEN 'name' THEN
            RETURN e.name LIKE pattern;
        WHEN 'tag' THEN
            RETURN EXISTS (SELECT FROM endpoint_tag t
                           WHERE t.endpoint_id = e.id AND t.key = filter ->> 'key' AND t.value LIKE pattern);
        WHEN 'manufacturer' THEN
            RETURN coalesce(device_text(e.id, 0) LIKE pattern, false);
        WHEN 'model' THEN
            RETURN coalesce(device_text(e.id, 1) LIKE pattern, false);
        WHEN 'fw' THEN
            RETURN coalesce(device_text(e.id, 3) LIKE pattern, false);
        WHEN 'registered' THEN
            RETURN (presence(e) <> 'offline') = wanted::boolean;
        WHEN 'presence' THEN
            RETURN wanted = presence(e);
        WHEN 'object' THEN
            RETURN EXISTS (SELECT FROM unnest(e.objects) AS has WHERE starts_with(has || '/', '/' || wanted || '/'));
        WHEN 'profile' THEN
            RETURN EXISTS (SELECT FROM profile p WHERE p.id = e.profile_id AND p.name LIKE pattern);
        WHEN 'last_seen' THEN
            at := coalesce((filter ->> 'time')::timestamptz,
                           clock_timestamp() - make_interval(secs => (filter ->> 'seconds_ago')::double precision));
            RETURN CASE filter ->> 'operator' WHEN '<' THEN coalesce(e.last_seen_at, '-infinity') < at
                                              WHEN '>' THEN coalesce(e.last_seen_at, '-infinity') > at END;
    END CASE;
END
$$;
