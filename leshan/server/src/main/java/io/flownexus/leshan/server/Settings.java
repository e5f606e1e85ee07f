package io.flownexus.leshan.server;

import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.webhook.Webhooks;
import java.nio.file.Path;
import java.time.Duration;

/** All that a server needs to know to start; port 0 is any free one, null paths are not used. */
public record Settings(
    String coapHost,
    int coapPort,
    int coapsPort,
    String httpHost,
    int httpPort,
    Tokens apiTokens,
    Webhooks.Settings webhooks,
    long maxPendingItems,
    Path securityStore,
    Credentials credentials,
    Path models,
    Duration clientAwakeTime) {}
