-- Campaigns: one package for many devices, in waves.

CREATE TABLE campaign (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL CHECK (name <> ''),
    firmware_id       integer NOT NULL REFERENCES firmware,
    status            text NOT NULL DEFAULT 'PLANNED'
                      CHECK (status IN ('PLANNED', 'RUNNING', 'PAUSED', 'STOPPED', 'CANCELLED', 'FINISHED')),
    words             text NOT NULL DEFAULT 'nobody has started it yet',
    rules             jsonb NOT NULL,
    seed              integer NOT NULL,
    wave              integer NOT NULL DEFAULT 1,
    wave_opened_at    timestamptz,
    wave_succeeded_at timestamptz,
    starts_at         timestamptz,
    ends_at           timestamptz,
    counted_from      timestamptz NOT NULL DEFAULT '-infinity',
    requested_by      text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX campaign_running ON campaign (id) WHERE status = 'RUNNING';
COMMENT ON TABLE campaign IS 'One firmware package for many devices, in waves.';
COMMENT ON COLUMN campaign.status IS 'Where it stands, by flownexus/campaigns/progress.py.';
COMMENT ON COLUMN campaign.words IS 'What it did last, in words.';
COMMENT ON COLUMN campaign.rules IS 'When it goes on, waits and stops, by flownexus/campaigns/plan.py.';
COMMENT ON COLUMN campaign.seed IS 'What the order of its devices was drawn by: the same gives the same.';
COMMENT ON COLUMN campaign.wave IS 'The wave that was opened last, from 1.';
COMMENT ON COLUMN campaign.wave_succeeded_at IS 'When enough of this wave had succeeded; null before.';
COMMENT ON COLUMN campaign.counted_from IS 'Failures before do not stop it: somebody has resumed it since.';

CREATE TABLE campaign_target (
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    endpoint_id integer NOT NULL REFERENCES endpoint ON DELETE CASCADE,
    wave        integer NOT NULL CHECK (wave >= 1),
    place       integer NOT NULL,
    update_id   bigint REFERENCES firmware_update ON DELETE SET NULL,
    started_at  timestamptz,
    left_out    text CHECK (left_out <> ''),
    PRIMARY KEY (campaign_id, endpoint_id)
) WITH (fillfactor = 80);
CREATE INDEX campaign_target_waiting ON campaign_target (campaign_id, place) WHERE update_id IS NULL AND left_out IS NULL;
CREATE INDEX campaign_target_endpoint ON campaign_target (endpoint_id);
COMMENT ON TABLE campaign_target IS 'A device of a campaign.';
COMMENT ON COLUMN campaign_target.place IS 'Its place in the order that was drawn.';
COMMENT ON COLUMN campaign_target.update_id IS 'Its newest update; null until it begins.';
COMMENT ON COLUMN campaign_target.left_out IS 'Why it never begins, such as superseded by campaign 7; null: it does.';

CREATE TABLE campaign_step (
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    number      integer NOT NULL,
    time        timestamptz NOT NULL DEFAULT clock_timestamp(),
    by          text,
    words       text NOT NULL,
    PRIMARY KEY (campaign_id, number)
);
COMMENT ON TABLE campaign_step IS 'Who did what with a campaign, and what it did by itself.';
COMMENT ON COLUMN campaign_step.by IS 'Who; null: the campaign itself.';

GRANT SELECT, INSERT (name, firmware_id, rules, seed, starts_at, ends_at, requested_by),
    UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at, counted_from) ON campaign TO flownexus_api;
GRANT SELECT, INSERT (campaign_id, endpoint_id, wave, place, left_out), UPDATE (wave, update_id, left_out) ON campaign_target TO flownexus_api;
GRANT SELECT, INSERT (campaign_id, number, by, words) ON campaign_step TO flownexus_api;

GRANT SELECT, UPDATE (status, words, wave, wave_opened_at, wave_succeeded_at) ON campaign TO flownexus_firmware;
GRANT SELECT, UPDATE (update_id, started_at) ON campaign_target TO flownexus_firmware;
GRANT SELECT, INSERT (campaign_id, number, by, words) ON campaign_step TO flownexus_firmware;
GRANT INSERT (endpoint_id, firmware_id, token, requested_by) ON firmware_update TO flownexus_firmware;

GRANT SELECT ON campaign, campaign_target, campaign_step TO flownexus_grafana, flownexus_reader;
