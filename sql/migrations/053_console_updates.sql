-- The console has firmware packages, updates and campaigns; what people change by REST is in the audit log, too.

-- As flownexus_api has it (043, 044, 046), but for the tokens of updates, which are devices'.
GRANT SELECT, INSERT (version, file_name, download_url, label, model, version_path, success, size_bytes, sha256, uploaded_by),
    UPDATE (mcuboot, completed_at, retired_at, retired_by) ON firmware TO flownexus_console;
GRANT SELECT, INSERT ON firmware_chunk TO flownexus_console;
GRANT SELECT (
    id, endpoint_id, firmware_id, state, since, words, failure, tries, not_before, command, state_ask, version_ask, asks,
    registration_seen, requested_by, cancelled_by, created_at, finished_at),
    INSERT (endpoint_id, firmware_id, token, requested_by), UPDATE (cancelled_by) ON firmware_update TO flownexus_console;
GRANT SELECT ON firmware_step, firmware_download TO flownexus_console;
GRANT SELECT, INSERT (name, firmware_id, rules, seed, starts_at, ends_at, requested_by, filter, tree, model, from_versions),
    UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at, counted_from) ON campaign TO flownexus_console;
GRANT SELECT, INSERT (campaign_id, endpoint_id, wave, place, left_out, joined_at), UPDATE (wave, update_id, left_out) ON campaign_target TO flownexus_console;
GRANT SELECT, INSERT (campaign_id, number, by, words) ON campaign_step TO flownexus_console;



-- As in 026, with the role of the database that added the entry: a token of the REST API may have the name of a user.
CREATE OR REPLACE FUNCTION append_audit(by text, action text, endpoint text, detail jsonb) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    before  record;
    told    jsonb;
    told_hash bytea;
BEGIN
    LOCK TABLE public.audit_entry IN SHARE ROW EXCLUSIVE MODE;
    SELECT a.id, a.hash INTO before FROM public.audit_entry a ORDER BY a.id DESC LIMIT 1;
    told := jsonb_build_object(
        'id', coalesce(before.id, 0) + 1,
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'by', by, 'role', session_user, 'action', action, 'endpoint', endpoint, 'detail', detail,
        'previous', coalesce(encode(before.hash, 'hex'), ''));
    told_hash := sha256(convert_to(told::text, 'UTF8'));
    INSERT INTO public.audit_entry (id, entry, hash) VALUES (coalesce(before.id, 0) + 1, told, told_hash);
    RETURN told_hash;
END
$$;
COMMENT ON COLUMN audit_entry.entry IS
    'id, at, by, role (of the database), action, endpoint, detail, and previous: the hash of the entry before, in hex.';
GRANT EXECUTE ON FUNCTION append_audit TO flownexus_api;
