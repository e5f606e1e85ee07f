package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.security.NewEndpoints;
import io.flownexus.leshan.server.security.PlainCoap;
import io.flownexus.leshan.server.webhook.WebhookSettings;
import java.nio.file.Path;
import java.time.Duration;

/**
 * All that a server needs to know to start.
 *
 * <p>Port 0 is any free one; a CoAP port is opened where somebody may use it; paths that are null
 * are not used; without webhooks it only counts, and needs no spool.
 */
public record ServerSettings(
    String coapHost,
    int coapPort,
    int coapsPort,
    PlainCoap plainCoap,
    NewEndpoints.Limits newEndpoints,
    String httpHost,
    int httpPort,
    Tokens apiTokens,
    Tokens secretsTokens,
    WebhookSettings webhooks,
    Path spool,
    long maxSpoolBytes,
    Path securityStore,
    Credentials credentials,
    Path models,
    Duration clientAwakeTime,
    Duration bridgedGap) {}
