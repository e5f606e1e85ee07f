package io.flownexus.leshan.server.webhook;

import java.util.UUID;

/** An item that no function takes, since when (epoch milliseconds), and why. */
public record SetAside(Lane lane, UUID source, long seq, long time, String reason, String json) {}
