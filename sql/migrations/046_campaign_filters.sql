-- Campaigns choose devices by a filter, and may go on with those that join later.
-- What a campaign chose by before is not known: nothing joins it.

ALTER TABLE campaign
    ADD COLUMN filter text,
    ADD COLUMN tree jsonb,
    ADD COLUMN model text,
    ADD COLUMN from_versions text[],
    ADD COLUMN joined_at timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN campaign.filter IS 'Which devices it is for, in the language of filters; null: of any that fit the rest.';
COMMENT ON COLUMN campaign.tree IS 'The filter as endpoint_matches() reads it.';
COMMENT ON COLUMN campaign.model IS 'The model number (3/0/1) of its devices; null: any.';
COMMENT ON COLUMN campaign.from_versions IS 'The versions (3/0/3) of its devices before; null: any.';
COMMENT ON COLUMN campaign.joined_at IS 'When it was last looked whether further devices fit; only if its rules say so.';

ALTER TABLE campaign_target ADD COLUMN joined_at timestamptz;
COMMENT ON COLUMN campaign_target.joined_at IS 'When it joined the running campaign; null: it was there when that was planned.';

GRANT INSERT (filter, tree, model, from_versions) ON campaign TO flownexus_api;
GRANT INSERT (joined_at) ON campaign_target TO flownexus_api;
GRANT UPDATE (joined_at) ON campaign TO flownexus_firmware;
GRANT INSERT (campaign_id, endpoint_id, wave, place, left_out, joined_at), UPDATE (left_out) ON campaign_target TO flownexus_firmware;
GRANT SELECT ON endpoint_tag, profile TO flownexus_firmware;
GRANT EXECUTE ON FUNCTION awake_time, presence, device_text, endpoint_matches TO flownexus_firmware;
