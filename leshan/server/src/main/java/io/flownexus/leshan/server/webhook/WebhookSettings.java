package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Tokens;
import java.net.URI;
import java.time.Duration;
import java.util.Map;

/** Where and how to post. */
public record WebhookSettings(
    Map<WebhookKind, URI> targets,
    Tokens tokens,
    int lanes,
    int batchItems,
    Duration timeout,
    Duration firstRetry,
    Duration longestRetry) {}
