package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Lane;
import java.util.UUID;

/** An item that no function takes, and why. */
record SetAside(Lane lane, UUID source, long seq, long time, String reason, String json) {}
