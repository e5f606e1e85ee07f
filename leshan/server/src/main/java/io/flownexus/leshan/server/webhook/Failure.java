package io.flownexus.leshan.server.webhook;

/**
 * Something that a device sent and that gives no value.
 *
 * <p>Path and format are null where they are not known; suppressed is how many like it were left
 * out since the one before.
 */
record Failure(String path, String reason, Integer format, byte[] payload, long suppressed) {}
