package io.flownexus.leshan.server.webhook;

/** One item to post: its webhook, whose it is, and its JSON as it goes into the envelope. */
public record Item(WebhookKind kind, String endpoint, byte[] json) {}
