"""The roles of the database: what each may do is declared here, and what it must not do is tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from flownexus.migrate import SQL_FOLDER, migrate
from tests.fixtures.postgres import PURPOSES, ROLES, Database, TestCluster

REGISTRATION = (
    "registered, registration_id, address, lifetime, binding, lwm2m_version, objects, contact_count, "
    "last_seen_at, expires_at, reconcile_at, heard_since, registered_at, content_formats, awake_time_s, "
    "awake_time_told, object_versions, profile_id, secure"
)
WRITES_VALUES = {
    "catalog_identity": "SELECT",
    "dead_letter": "INSERT (kind, reason, item, source, lane, seq)",
    "device_log": "INSERT",
    "device_log_id": "USAGE",
    "device_log_tail": "SELECT, INSERT, UPDATE (content)",
    "event": "INSERT",
    "event_id_block": "USAGE",
    "event_resource": "INSERT",
    "log_resource": "SELECT",
    "resource": "INSERT",
    "resource_id_block": "USAGE",
    "resource_latest": "SELECT, INSERT, UPDATE",
    "resource_model": "SELECT",
    "resource_type": "SELECT, INSERT, UPDATE (data_type)",
    "schema public": "USAGE",
}
UPDATE = (
    "id, endpoint_id, firmware_id, state, since, words, failure, tries, not_before, command, state_ask, "
    "version_ask, asks, registration_seen, requested_by, cancelled_by, created_at, finished_at, install_in"
)
"""All of an update but its secret."""
QUEUES = (
    "SELECT, INSERT (endpoint_id, operation_type, path, value, arguments, repeatable, priority, not_before, "
    "idempotency_key, request_fingerprint, paths, concerns, requested_by, expires_at, "
    "has_secret), UPDATE (status, reason, finished_at)"
)
BOOTSTRAPS = {
    "bootstrap_profile": "SELECT, INSERT, UPDATE (server_uri, short_server_id, lifetime, binding, "
    "min_period, max_period, disable_timeout, store_notifications, objects, changed_by, changed_at), DELETE",
    "bootstrap_session": "SELECT, INSERT (endpoint, factory_credential_id, credential_id, address, state, "
    "detail, ended_at), UPDATE (state, detail, times, ended_at), DELETE",
    "factory_credential": "SELECT, INSERT (endpoint, identity, sealed_key, profile, created_by), UPDATE "
    "(sealed_key, profile, handed_id, handed_at, given_id, used_at, revoked_at, revoked_by)",
    "factory_used_at()": "EXECUTE",
}
ENROLS = {
    "device_credential": "SELECT, INSERT (endpoint, mode, identity, sealed_key, public_key, fingerprint, "
    "created_by, expires_at), UPDATE (sealed_key, expires_at, revoked_at, revoked_by)",
    "enrolled_endpoint": "SELECT, INSERT, UPDATE (revision)",
    "enrolment": "SELECT, UPDATE (revision, unenrolled)",
}
CHOOSES = {
    "awake_time()": "EXECUTE",
    "device_text()": "EXECUTE",
    "endpoint_matches()": "EXECUTE",
    "endpoint_tag": "SELECT",
    "presence()": "EXECUTE",
    "profile": "SELECT",
}
READS_ALL = {
    **CHOOSES,
    "batch": "SELECT",
    "campaign": "SELECT",
    "campaign_step": "SELECT",
    "campaign_target": "SELECT",
    "dead_letter": "SELECT",
    "delivery_mark": "SELECT",
    "device_log": "SELECT",
    "endpoint": "SELECT",
    "endpoint_operation": "SELECT",
    "event": "SELECT",
    "event_name()": "EXECUTE",
    "event_resource": "SELECT",
    "event_type": "SELECT",
    "firmware": "SELECT",
    "firmware_download": "SELECT",
    "firmware_step": "SELECT",
    "firmware_update": f"SELECT ({UPDATE})",
    "last_contacts()": "EXECUTE",
    "log_entry": "SELECT",
    "log_resource": "SELECT",
    "named_event": "SELECT",
    "object_model": "SELECT",
    "object_model_resource": "SELECT",
    "observe_plan": "SELECT",
    "offline_since()": "EXECUTE",
    "registration_refusal": "SELECT",
    "resource": "SELECT",
    "resource_hourly": "SELECT",
    "resource_latest": "SELECT",
    "resource_model": "SELECT",
    "resource_type": "SELECT",
    "roll_up_state": "SELECT",
    "schema public": "USAGE",
    "series()": "EXECUTE",
    "telemetry": "SELECT",
    "telemetry_latest": "SELECT",
    "value_event": "SELECT",
}
GRANTS = {
    "flownexus_ingest": {
        **WRITES_VALUES,
        **CHOOSES,
        "delivery_mark": "SELECT, INSERT (source, kind, lane), UPDATE (mark, gaps, moved_at)",
        "endpoint": f"SELECT, INSERT (name), UPDATE ({REGISTRATION})",
        "endpoint_operation": "SELECT (id, endpoint_id, operation_type, path, registration_id, status), "
        "INSERT (endpoint_id, operation_type, path, priority, registration_id, requested_by), "
        "UPDATE (status, reason, finished_at)",
        "object_model": "SELECT",
        "object_model_resource": "SELECT",
        "observe_plan": "SELECT",
        "registration_refusal": "SELECT, INSERT (endpoint, address, cause, detail, count, identity), "
        "UPDATE (detail, count, last_at), DELETE",
        "queue_planned()": "EXECUTE",
    },
    "flownexus_dispatch": {
        **WRITES_VALUES,
        "claim_fence": "USAGE",
        "endpoint": "SELECT, UPDATE (last_seen_at, unreachable_at_contact, write_format)",
        "endpoint_operation": "SELECT, UPDATE (status, attempts, retry_after_contact, fence, "
        "lease_expires_at, result, reason, last_attempt_at, finished_at, not_before, formats_refused, "
        "last_verdict)",
        "next_operation()": "EXECUTE",
        "operation_secret": "SELECT",
        "profile": "SELECT",
    },
    "flownexus_api": {
        "api_token": "SELECT, INSERT (name, owner, scopes, prefix, sha256, created_by, expires_at, user_id), "
        "UPDATE (last_used_at, revoked_at, revoked_by)",
        "append_audit()": "EXECUTE",
        **CHOOSES,
        **ENROLS,
        **BOOTSTRAPS,
        "batch": "SELECT, INSERT (filter, operation_type, targets, requested_by, idempotency_key, "
        "request_fingerprint), UPDATE (endpoints, left_out, cancelled_at, cancelled_by)",
        "change_horizon()": "EXECUTE",
        "dead_letter": "SELECT, UPDATE (settlement, settled_by, settled_at)",
        "delete_endpoint()": "EXECUTE",
        "endpoint": "SELECT, INSERT (name, made_by), UPDATE (reconcile_at)",
        "endpoint_operation": "SELECT, INSERT (endpoint_id, operation_type, path, value, arguments, "
        "repeatable, priority, not_before, idempotency_key, request_fingerprint, paths, concerns, "
        "requested_by, expires_at, has_secret, batch_id), "
        "UPDATE (status, reason, finished_at, superseded_by)",
        "endpoint_tag": "SELECT, INSERT, UPDATE, DELETE",
        "event": "SELECT",
        "event_name()": "EXECUTE",
        "event_resource": "SELECT",
        "event_type": "SELECT, INSERT, UPDATE, DELETE",
        "last_contacts()": "EXECUTE",
        "log_entry": "SELECT",
        "log_resource": "SELECT, INSERT, UPDATE, DELETE",
        "named_event": "SELECT",
        "campaign": "SELECT, INSERT (name, firmware_id, rules, seed, starts_at, ends_at, requested_by, "
        "filter, tree, model, from_versions), "
        "UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at, counted_from)",
        "campaign_step": "SELECT, INSERT (campaign_id, number, by, words)",
        "campaign_target": "SELECT, INSERT (campaign_id, endpoint_id, wave, place, left_out, joined_at), "
        "UPDATE (wave, update_id, left_out)",
        "firmware": "SELECT, INSERT (version, file_name, download_url, size_bytes, sha256, label, model, "
        "version_path, success, uploaded_by), UPDATE (mcuboot, completed_at, retired_at, retired_by)",
        "firmware_chunk": "SELECT, INSERT",
        "firmware_download": "SELECT",
        "firmware_step": "SELECT",
        "firmware_update": "SELECT, INSERT (endpoint_id, firmware_id, token, requested_by, install_in), "
        "UPDATE (cancelled_by)",
        "next_operation()": "EXECUTE",
        "object_model": "SELECT, INSERT (object_id, version, name, multiple, xml, added_by), DELETE",
        "object_model_resource": "SELECT, INSERT",
        "offline_since()": "EXECUTE",
        "operation_secret": "INSERT",
        "profile": "SELECT, INSERT, UPDATE, DELETE",
        "refresh_resource_models()": "EXECUTE",
        "registration_refusal": "SELECT",
        "resource": "SELECT",
        "resource_hourly": "SELECT",
        "resource_latest": "SELECT (endpoint_id, resource_type_id, object_instance_id, time)",
        "roll_up_state": "SELECT",
        "resource_model": "SELECT",
        "resource_type": "SELECT",
        "schema public": "USAGE",
        "series()": "EXECUTE",
        "telemetry": "SELECT",
        "telemetry_latest": "SELECT",
        "value_event": "SELECT",
        "version_order()": "EXECUTE",
    },
    "flownexus_housekeeping": {
        **CHOOSES,
        "batch": "SELECT (id, created_at), DELETE",
        "dead_letter": "SELECT (id, kind, item, received_at, settlement, replay_asked_by, "
        "replay_asked_at, mended_item), UPDATE (settlement, settled_by, settled_at, replay_outcome), DELETE",
        "delivery_mark": "SELECT, DELETE",
        "device_credential": "SELECT",
        "drop_partitions()": "EXECUTE",
        "drop_partitions_of()": "EXECUTE",
        "roll_up()": "EXECUTE",
        "endpoint": "SELECT, UPDATE (registered, reconcile_at, profile_id)",
        "endpoint_operation": "SELECT, INSERT (endpoint_id, operation_type, path, priority, "
        "registration_id, requested_by), UPDATE (status, attempts, retry_after_contact, lease_expires_at, "
        "result, reason, created_at, last_attempt_at, finished_at, not_before, formats_refused, "
        "last_verdict, withdrawn)",
        "enrolled_endpoint": "SELECT",
        "enrolment": "SELECT",
        "firmware": "SELECT (id, retired_at, objects_removed_at), UPDATE (objects_removed_at)",
        "firmware_chunk": "SELECT (firmware_id, object), DELETE",
        "forget_endpoints()": "EXECUTE",
        "forget_operations()": "EXECUTE",
        "make_partitions()": "EXECUTE",
        "next_operation()": "EXECUTE",
        "observe_plan": "SELECT",
        "queue_planned()": "EXECUTE",
        "remove_remains()": "EXECUTE",
        "resource": "SELECT (time, id, stored_at)",
        "resource_latest": "SELECT (endpoint_id, resource_type_id, object_instance_id, time, resource_id)",
        "resource_type": "SELECT",
        "schema public": "USAGE",
    },
    "flownexus_console": {
        **CHOOSES,
        **ENROLS,
        "append_audit()": "EXECUTE",
        "delete_endpoint()": "EXECUTE",
        "bootstrap_session": "SELECT",
        "audit_entry": "SELECT",
        "batch": "SELECT, INSERT (filter, operation_type, targets, requested_by, idempotency_key, "
        "request_fingerprint), UPDATE (endpoints, left_out, cancelled_at, cancelled_by)",
        "api_token": "SELECT (id, name, owner, scopes, prefix, created_at, created_by, expires_at, "
        "last_used_at, revoked_at, revoked_by, user_id), INSERT (name, owner, scopes, prefix, sha256, "
        "created_by, expires_at, user_id), UPDATE (revoked_at, revoked_by)",
        "campaign": "SELECT, INSERT (name, firmware_id, rules, seed, starts_at, ends_at, requested_by, "
        "filter, tree, model, from_versions), "
        "UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at, counted_from)",
        "campaign_step": "SELECT, INSERT (campaign_id, number, by, words)",
        "campaign_target": "SELECT, INSERT (campaign_id, endpoint_id, wave, place, left_out, joined_at), "
        "UPDATE (wave, update_id, left_out)",
        "console_attempt": "SELECT, INSERT, UPDATE, DELETE",
        "console_browser": "SELECT, INSERT, UPDATE (seen_at), DELETE",
        "console_challenge": "SELECT, INSERT, UPDATE (challenge, expires_at), DELETE",
        "console_form": "SELECT, INSERT, DELETE",
        "console_link": "SELECT, INSERT, DELETE",
        "console_openid_attempt": "SELECT, INSERT, DELETE",
        "console_passkey": "SELECT, INSERT, UPDATE (sign_count, used_at), DELETE",
        "console_recovery_code": "SELECT, INSERT, DELETE",
        "console_session": "SELECT, INSERT, UPDATE (active_at), DELETE",
        "console_user": "SELECT, INSERT (name, role), UPDATE (role, password_hash, totp_secret, totp_step, "
        "is_disabled, signed_in_at, openid_issuer, openid_subject)",
        "dead_letter": "SELECT, UPDATE (settlement, settled_by, settled_at, replay_asked_by, "
        "replay_asked_at, mended_item)",
        "delivery_mark": "SELECT (gaps, moved_at)",
        "endpoint": "SELECT, UPDATE (reconcile_at)",
        "endpoint_operation": "SELECT, INSERT (endpoint_id, operation_type, path, value, arguments, "
        "repeatable, priority, not_before, idempotency_key, request_fingerprint, paths, concerns, "
        "requested_by, expires_at, has_secret, batch_id), "
        "UPDATE (status, reason, finished_at)",
        "event": "SELECT (time, endpoint_id, event_type)",
        "last_contacts()": "EXECUTE",
        "log_entry": "SELECT",
        "firmware": "SELECT, INSERT (version, file_name, download_url, size_bytes, sha256, label, model, "
        "version_path, success, uploaded_by), UPDATE (mcuboot, completed_at, retired_at, retired_by)",
        "firmware_chunk": "SELECT, INSERT",
        "firmware_download": "SELECT",
        "firmware_step": "SELECT",
        "firmware_update": f"SELECT ({UPDATE}), "
        "INSERT (endpoint_id, firmware_id, token, requested_by, install_in), UPDATE (cancelled_by)",
        "next_operation()": "EXECUTE",
        "object_model": "SELECT, INSERT (object_id, version, name, multiple, xml, added_by), DELETE",
        "object_model_resource": "SELECT, INSERT",
        "offline_since()": "EXECUTE",
        "operation_secret": "INSERT",
        "profile": "SELECT, INSERT, UPDATE, DELETE",
        "refresh_resource_models()": "EXECUTE",
        "registration_refusal": "SELECT",
        "resource": "SELECT",
        "resource_hourly": "SELECT",
        "resource_latest": "SELECT",
        "resource_model": "SELECT",
        "resource_type": "SELECT",
        "roll_up_state": "SELECT",
        "schema public": "USAGE",
        "series()": "EXECUTE",
        "telemetry_latest": "SELECT",
        "version_order()": "EXECUTE",
    },
    "flownexus_firmware": {
        **CHOOSES,
        "campaign": "SELECT, UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at, joined_at)",
        "campaign_step": "SELECT, INSERT (campaign_id, number, by, words)",
        "campaign_target": "SELECT, INSERT (campaign_id, endpoint_id, wave, place, left_out, joined_at), "
        "UPDATE (update_id, started_at, left_out)",
        "endpoint": "SELECT",
        "endpoint_operation": QUEUES.replace("finished_at)", "finished_at, expires_at)"),
        "firmware": "SELECT",
        "firmware_download": "SELECT",
        "firmware_step": "SELECT, INSERT (update_id, number, state, words)",
        "firmware_update": "SELECT, INSERT (endpoint_id, firmware_id, token, requested_by, install_in), "
        "UPDATE (state, since, words, failure, tries, not_before, command, "
        "state_ask, version_ask, asks, registration_seen, finished_at)",
        "object_model_resource": "SELECT",
        "operation_secret": "INSERT",
        "profile": "SELECT (id, firmware_way)",
        "resource": "SELECT (time, id, stored_at)",
        "resource_latest": "SELECT",
        "resource_model": "SELECT",
        "resource_type": "SELECT",
        "schema public": "USAGE",
        "version_order()": "EXECUTE",
    },
    "flownexus_download": {
        "firmware": "SELECT",
        "firmware_chunk": "SELECT",
        "firmware_download": "SELECT, INSERT, UPDATE",
        "endpoint": "SELECT (id, name)",
        "firmware_update": "SELECT (id, endpoint_id, firmware_id, token, finished_at)",
        "schema public": "USAGE",
    },
    "flownexus_grafana": READS_ALL,
    "flownexus_reader": READS_ALL,
    "everybody": {"database": "CONNECT", "schema public": "USAGE"},
}
"""By role and object, columns in the order of their table. What is not here is not granted, to nobody."""

GRANTED = b"""
WITH granted AS (
    SELECT c.relname::text AS object, a.grantee, a.privilege_type, a.is_grantable, NULL AS column, 0 AS place
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
    WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
    UNION ALL
    SELECT c.relname, a.grantee, a.privilege_type, a.is_grantable, t.attname, t.attnum
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT p.proname || '()', a.grantee, a.privilege_type, a.is_grantable, NULL, 0
    FROM pg_proc p CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'public'::regnamespace AND a.grantee <> p.proowner
    UNION ALL
    SELECT 'schema ' || n.nspname, a.grantee, a.privilege_type, a.is_grantable, NULL, 0
    FROM pg_namespace n CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND a.grantee <> n.nspowner
    UNION ALL
    SELECT 'database', a.grantee, a.privilege_type, a.is_grantable, NULL, 0
    FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    WHERE d.datname = current_database() AND a.grantee <> d.datdba
), told AS (
    SELECT coalesce(r.rolname, 'everybody') AS role, object, privilege_type,
           privilege_type || coalesce(' (' || string_agg("column", ', ' ORDER BY place) || ')', '')
               || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS privilege
    FROM granted LEFT JOIN pg_roles r ON r.oid = grantee
    GROUP BY 1, object, privilege_type, is_grantable
)
SELECT role, object, string_agg(privilege, ', ' ORDER BY
           array_position('{SELECT,INSERT,UPDATE,DELETE}'::text[], privilege_type), privilege)
FROM told GROUP BY role, object ORDER BY role, object
"""

EVERYBODY_ELSES = (
    "CREATE TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER TABLE endpoint DROP COLUMN name",
    "DROP TABLE resource_default",
    "TRUNCATE resource",
    "DELETE FROM resource",
    "DELETE FROM endpoint",
    "DELETE FROM endpoint_operation",
    "UPDATE resource SET float_value = 0",
    "UPDATE dead_letter SET item = ''",
    "UPDATE endpoint SET name = 'x'",
    "UPDATE endpoint_operation SET value = '1'",
    "UPDATE operation_secret SET value = '1'",
    "UPDATE endpoint_operation SET path = '/1'",
    "UPDATE endpoint_operation SET requested_by = 'x'",
    "INSERT INTO observe_plan (object_id) VALUES (9)",
    "UPDATE observe_plan SET enabled = false",
    "UPDATE resource_model SET name = 'x'",
    "UPDATE object_model SET added_by = 'x'",
    "UPDATE object_model_resource SET operations = 'RW'",
    "DELETE FROM object_model_resource",
    "UPDATE catalog_generation SET generation = 0",
    "UPDATE roll_up_state SET rolled_until = now()",
    "DELETE FROM device_log",
    "UPDATE device_log SET message = 'x'",
    "INSERT INTO resource_hourly (time) VALUES (now())",
    "DELETE FROM resource_hourly",
    "SELECT * FROM resource_default",
    "INSERT INTO resource_default (time) VALUES (now())",
    "SELECT * FROM schema_migration",
    "SELECT setval('claim_fence', 1)",
    "SELECT setval('resource_id_block', 1)",
    "DELETE FROM api_token",
    "UPDATE api_token SET scopes = '{administer}'",
    "UPDATE api_token SET sha256 = ''",
    "UPDATE api_token SET expires_at = NULL",
    "UPDATE batch SET filter = ''",
    "UPDATE batch SET requested_by = 'x'",
    "UPDATE device_credential SET endpoint = 'x'",
    "DELETE FROM device_credential",
    "DELETE FROM factory_credential",
    "UPDATE factory_credential SET endpoint = 'x'",
    "DELETE FROM enrolled_endpoint",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY endpoint FROM PROGRAM 'true'",
)
"""What no role of a function or of a person may do: it is the owner's."""
WRITES = (
    "INSERT INTO endpoint (name) VALUES ('x')",
    "UPDATE endpoint SET registered = false",
    "INSERT INTO endpoint_operation (path) VALUES ('/3')",
    "UPDATE endpoint_operation SET status = 'CANCELLED', finished_at = now()",
    "INSERT INTO resource (time) VALUES (now())",
    "INSERT INTO event (time) VALUES (now())",
    "INSERT INTO event_resource (time) VALUES (now())",
    "UPDATE resource_latest SET float_value = 0",
    "INSERT INTO resource_type (object_id) VALUES (1)",
    "INSERT INTO dead_letter (item) VALUES ('x')",
    "UPDATE delivery_mark SET mark = 0",
    "DELETE FROM dead_letter",
    "DELETE FROM delivery_mark",
    "UPDATE endpoint_tag SET value = 'x'",
    "DELETE FROM endpoint_tag",
    "UPDATE batch SET endpoints = 0",
    "DELETE FROM batch",
    "UPDATE profile SET priority = 1",
    "DELETE FROM profile",
    "SELECT queue_planned('{}', '{}', '{}', '{}', '{}', '{}', true)",
)
"""What some function may do."""
TOKENS = (
    "SELECT sha256 FROM api_token",
    "SELECT name FROM api_token",
    "INSERT INTO api_token (name) VALUES ('x')",
    "UPDATE api_token SET revoked_at = NULL",
)
"""What only the REST API may do."""
DECLARED = (
    "INSERT INTO log_resource (object_id, resource_id) VALUES (3, 0)",
    "INSERT INTO event_type (name, paths) VALUES ('x', '{/3}')",
)
"""What is declared by REST alone."""
HOUSEKEEPING_S = (
    "DELETE FROM dead_letter",
    "DELETE FROM delivery_mark",
    "SELECT make_partitions(1)",
    "SELECT drop_partitions('400 days')",
    "SELECT drop_partitions_of('event', '400 days')",
    "SELECT roll_up('1 h')",
    "SELECT forget_operations('400 days', 1)",
    "SELECT forget_endpoints('400 days', 1, 1)",
    "SELECT remove_remains(1)",
    "UPDATE endpoint_operation SET created_at = now()",
)
CLAIMS = (
    "SELECT nextval('claim_fence')",
    "UPDATE endpoint_operation SET fence = fence + 1",
)
"""What only who holds a claim may do."""
READ_BACK = (
    "SELECT float_value FROM resource",
    "SELECT * FROM event",
    "SELECT * FROM telemetry",
    "SELECT * FROM series('{a}', '{/3/0/9}', now() - interval '1 h', now())",
    "SELECT item FROM dead_letter",
    "SELECT message FROM device_log",
)
"""What functions have no need to read."""
FIRMWARE = (
    "INSERT INTO firmware (version) VALUES ('1')",
    "SELECT * FROM firmware",
    "SELECT content FROM firmware_chunk",
    "SELECT id FROM firmware_update",
    "UPDATE firmware_update SET state = 'FAILED'",
)
"""What only those do who upload, serve and drive updates."""
SECRET = (
    "SELECT token FROM firmware_update",
    "INSERT INTO firmware (version) VALUES ('1')",
    "SELECT content FROM firmware_chunk",
)
"""What opens a package, and packages."""
REFUSED = {
    "ingest": (
        *DECLARED,
        *TOKENS,
        "SELECT * FROM operation_secret",
        *HOUSEKEEPING_S,
        *FIRMWARE,
        *CLAIMS,
        *READ_BACK,
        "SELECT * FROM telemetry_latest",
        "SELECT value FROM endpoint_operation",
        "SELECT arguments FROM endpoint_operation",
        "SELECT result FROM endpoint_operation",
        "SELECT * FROM next_operation(1)",
        "SELECT * FROM batch",
        "UPDATE endpoint_tag SET value = 'x'",
        "UPDATE profile SET plan = '[]'",
        "UPDATE endpoint_operation SET result = '{}'",
        "UPDATE endpoint_operation SET lease_expires_at = now()",
        "UPDATE endpoint_operation SET attempts = 0",
        "INSERT INTO endpoint_operation (value) VALUES ('1')",
        "INSERT INTO endpoint_operation (arguments) VALUES ('1')",
        "UPDATE endpoint SET write_format = 'TLV'",
        "UPDATE endpoint SET unreachable_at_contact = 0",
        "UPDATE resource_type SET name = 'x'",
    ),
    "dispatch": (
        *DECLARED,
        *TOKENS,
        *HOUSEKEEPING_S,
        *FIRMWARE,
        *READ_BACK,
        "SELECT * FROM telemetry_latest",
        "SELECT * FROM delivery_mark",
        "UPDATE delivery_mark SET mark = 0",
        "SELECT * FROM observe_plan",
        "INSERT INTO endpoint_operation (path) VALUES ('/3')",
        "INSERT INTO endpoint (name) VALUES ('x')",
        "UPDATE endpoint SET registered = true",
        "UPDATE endpoint SET contact_count = 0",
        "UPDATE endpoint_operation SET priority = 1",
        "UPDATE endpoint_operation SET arguments = '1'",
    ),
    "api": (
        "SELECT * FROM operation_secret",
        "DELETE FROM operation_secret",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *(
            statement
            for statement in WRITES
            if not statement.startswith("INSERT INTO endpoint ")
            and "endpoint_operation" not in statement
            and "endpoint_tag" not in statement
            and " profile" not in statement
            and statement != "UPDATE batch SET endpoints = 0"
        ),
        "SELECT * FROM delivery_mark",
        "SELECT * FROM observe_plan",
        "SELECT * FROM resource_latest",
        "UPDATE endpoint_operation SET result = '{}'",
        "UPDATE endpoint_operation SET status = 'SENDING', lease_expires_at = now()",
        "UPDATE endpoint_operation SET attempts = 0",
        "INSERT INTO endpoint_operation (result) VALUES ('{}')",
        "INSERT INTO endpoint_operation (registration_id) VALUES ('x')",
        "UPDATE endpoint SET registered = true",
    ),
    "housekeeping": (
        *DECLARED,
        *TOKENS,
        "SELECT * FROM operation_secret",
        *FIRMWARE,
        *CLAIMS,
        *(statement for statement in READ_BACK if "dead_letter" not in statement),
        "SELECT reason FROM dead_letter",
        "UPDATE dead_letter SET mended_item = 'x'",
        "SELECT * FROM telemetry_latest",
        "SELECT float_value FROM resource_latest",
        "INSERT INTO endpoint (name) VALUES ('x')",
        "UPDATE endpoint SET expires_at = now()",
        "INSERT INTO endpoint_operation (value) VALUES ('1')",
        "INSERT INTO dead_letter (item) VALUES ('x')",
        "UPDATE delivery_mark SET mark = 0",
        "UPDATE resource_latest SET float_value = 0",
    ),
    "console": (
        *DECLARED,
        "SELECT sha256 FROM api_token",
        "UPDATE api_token SET scopes = '{administer}'",
        "UPDATE api_token SET user_id = 1",
        "SELECT * FROM operation_secret",
        "SELECT token FROM firmware_update",
        "UPDATE firmware_update SET state = 'CONFIRMED'",
        "UPDATE firmware SET sha256 = ''",
        "DELETE FROM firmware_chunk",
        "UPDATE campaign SET requested_by = 'x'",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *(
            statement
            for statement in WRITES
            if "endpoint_operation" not in statement
            and " profile" not in statement
            and statement != "UPDATE batch SET endpoints = 0"
        ),
        "INSERT INTO audit_entry (id) VALUES (1)",
        "UPDATE audit_entry SET entry = '{}'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "SELECT first_admin_link()",
        "DELETE FROM console_user",
        "UPDATE console_user SET name = 'x'",
        "UPDATE console_session SET expires_at = now()",
        "UPDATE console_link SET expires_at = now()",
        "SELECT id FROM event",
        "SELECT * FROM telemetry",
        "SELECT * FROM delivery_mark",
        "UPDATE dead_letter SET item = ''",
        "UPDATE dead_letter SET replay_outcome = 'x'",
        "UPDATE endpoint_operation SET result = '{}'",
        "INSERT INTO endpoint_operation (registration_id) VALUES ('x')",
    ),
    "grafana": (
        *DECLARED,
        *TOKENS,
        "SELECT * FROM operation_secret",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *WRITES,
        *SECRET,
        "SELECT * FROM next_operation(1)",
    ),
    "reader": (
        *DECLARED,
        *TOKENS,
        "SELECT * FROM operation_secret",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *WRITES,
        *SECRET,
        "SELECT * FROM next_operation(1)",
    ),
    "firmware": (
        *DECLARED,
        "SELECT * FROM operation_secret",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *READ_BACK,
        *(statement for statement in WRITES if "endpoint_operation" not in statement),
        "INSERT INTO firmware (version) VALUES ('1')",
        "SELECT content FROM firmware_chunk",
        "UPDATE firmware SET retired_at = now()",
        "UPDATE firmware_update SET token = 'x'",
        "UPDATE firmware_update SET requested_by = 'x'",
        "UPDATE endpoint_operation SET result = '{}'",
        "DELETE FROM firmware_step",
    ),
    "download": (
        *DECLARED,
        "SELECT * FROM operation_secret",
        *HOUSEKEEPING_S,
        *CLAIMS,
        *READ_BACK,
        *WRITES,
        "SELECT * FROM endpoint",
        "SELECT * FROM endpoint_operation",
        "SELECT * FROM resource_latest",
        "SELECT words FROM firmware_update",
        "UPDATE firmware_update SET state = 'CONFIRMED'",
        "INSERT INTO firmware (version) VALUES ('1')",
        "UPDATE firmware_chunk SET content = ''",
        "DELETE FROM firmware_chunk",
        "DELETE FROM firmware_download",
        "UPDATE firmware SET retired_at = null",
    ),
}


@pytest.fixture
def migrated(empty_database: str) -> Iterator[psycopg.Connection]:
    """Return the owner's connection to a database that the migrations alone have made.

    A copy of a template has no grants on the database itself.
    """
    migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield connection


def granted(connection: psycopg.Connection) -> dict[str, dict[str, str]]:
    """Return what is granted in a database, as GRANTS has it."""
    found: dict[str, dict[str, str]] = {}
    for role, name, privileges in connection.execute(GRANTED):
        found.setdefault(role, {})[name] = privileges
    return found


def is_refused(connection: psycopg.Connection, statement: str) -> bool:
    """Say whether the role lacks the right, and not only what the statement's row would need."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except psycopg.Error as error:
        return isinstance(error, psycopg.errors.InsufficientPrivilege)
    return False


def test_what_is_granted_is_what_is_declared(migrated: psycopg.Connection) -> None:
    assert granted(migrated) == GRANTS
    assert migrated.execute("SELECT * FROM pg_default_acl").fetchall() == []


def test_no_role_is_more_than_its_grants(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        "SELECT rolname FROM pg_roles WHERE rolname ~ '^flownexus_'"
        " AND NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
    )
    assert {name for (name,) in found} == {*ROLES, "flownexus_functions"}
    memberships = "SELECT FROM pg_auth_members WHERE member::regrole::text ~ '^flownexus_'"
    assert migrated.execute(memberships).fetchall() == []


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_role_is_refused_what_its_purpose_does_not_need(database: Database, purpose: str) -> None:
    # Who reads is read-only by default, too, which everybody may undo.
    undone = "-c default_transaction_read_only=off"
    others = [f"SET ROLE {role}" for role in (*ROLES, "flownexus_functions") if not role.endswith(purpose)]
    with psycopg.connect(getattr(database, purpose), autocommit=True, options=undone) as connection:
        statements = (*EVERYBODY_ELSES, *others, *REFUSED[purpose])
        assert [each for each in statements if not is_refused(connection, each)] == []


def test_functions_of_the_version_before_keep_their_role(
    bare_cluster: TestCluster, empty_database: str, tmp_path: Path
) -> None:
    """They go on until each is replaced; where there were none, the role may do nothing (GRANTS)."""
    old = tmp_path / "sql"
    shutil.copytree(SQL_FOLDER, old)
    for path in (old / "migrations").glob("*.sql"):
        if path.stem >= "023_roles":
            path.unlink()
    role, password = "flownexus_functions", "of the version before"
    try:
        migrate(empty_database, {role: password}, old)
        with psycopg.connect(empty_database) as connection:
            before = granted(connection)[role]
        migrate(empty_database)
        with psycopg.connect(empty_database) as connection:
            found = granted(connection)
        assert found.pop(role) == before | {"next_operation()": "EXECUTE"}
        assert found == GRANTS
        name = empty_database.rpartition("/")[2]
        with psycopg.connect(bare_cluster.cluster.dsn(name, role, password)) as connection:
            connection.execute("INSERT INTO endpoint (name, registered) VALUES ('old', true)")
            assert connection.execute("SELECT * FROM next_operation(1)").fetchall() == []
    finally:
        bare_cluster.execute(f"ALTER ROLE {role} NOLOGIN")
