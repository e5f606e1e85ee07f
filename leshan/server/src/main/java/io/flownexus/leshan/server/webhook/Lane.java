package io.flownexus.leshan.server.webhook;

/** One lane of a webhook: its batches go one at a time, so an endpoint's values stay in order. */
public record Lane(WebhookKind kind, int number) {

  /** Return the lane that an endpoint's items of a kind take, the same one always. */
  public static Lane of(WebhookKind kind, String endpoint, int lanes) {
    // Fibonacci hashing: names that differ in their last digits only still spread over all lanes.
    long hash = Integer.toUnsignedLong(endpoint.hashCode() * 0x9E3779B9);
    return new Lane(kind, (int) (hash * lanes >>> 32));
  }
}
