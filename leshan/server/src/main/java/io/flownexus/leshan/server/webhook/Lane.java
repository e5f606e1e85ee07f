package io.flownexus.leshan.server.webhook;

/** One lane of a webhook: its batches go one at a time, so an endpoint's values stay in order. */
public record Lane(Kind kind, int number) {

  /** Return the lane that an endpoint's items of a kind take, the same one always. */
  public static Lane of(Kind kind, String endpoint, int lanes) {
    int hash = endpoint.hashCode();
    hash ^= hash >>> 16; // String.hashCode spreads its low bits badly over names that end in digits
    return new Lane(kind, Math.floorMod(hash * 0x9E3779B9 >>> 8, lanes));
  }
}
