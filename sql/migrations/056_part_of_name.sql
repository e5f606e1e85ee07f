-- A filter may say a part of a name, whether in small letters or capitals. Otherwise as in 039.
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
            RETURN CASE WHEN filter ? 'any_case' THEN e.name ILIKE pattern ELSE e.name LIKE pattern END;
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
