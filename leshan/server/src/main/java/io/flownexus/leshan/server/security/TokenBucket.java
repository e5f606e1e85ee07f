package io.flownexus.leshan.server.security;

/** Allows so much in a minute, and as much at once after a minute's rest. Not thread-safe. */
public final class TokenBucket {

  private static final double MINUTE_NANOS = 60e9;

  private final double perMinute;
  private double left;
  private long time;

  /** Start full. */
  public TokenBucket(int perMinute, long now) {
    this.perMinute = perMinute;
    left = perMinute;
    time = now;
  }

  /** Return whether one more is allowed; times are in nanoseconds, of any origin. */
  public boolean has(long now) {
    left = Math.min(perMinute, left + (now - time) / MINUTE_NANOS * perMinute);
    time = now;
    return left >= 1;
  }

  /** Count one that was allowed. */
  public void take() {
    left--;
  }

  /** Return whether nothing was taken for so long that a new one would be the same. */
  public boolean isFull(long now) {
    return has(now) && left >= perMinute;
  }
}
