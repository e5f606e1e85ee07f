package io.flownexus.leshan.server.firmware;

import java.time.Duration;
import java.util.function.LongSupplier;

/**
 * Says how long each of many has to wait for its turn, so that so many a second have one.
 *
 * <p>Nobody waits for longer than a bound: where more come than the rate allows, they get their
 * turns at the rate that the bound allows.
 */
final class Pace {

  private final long intervalNanos;
  private final long longestNanos;
  private final LongSupplier nanoTime;
  private long next;

  Pace(int perSecond, Duration longest, LongSupplier nanoTime) {
    intervalNanos = Duration.ofSeconds(1).toNanos() / perSecond;
    longestNanos = longest.toNanos();
    this.nanoTime = nanoTime;
    next = nanoTime.getAsLong();
  }

  /** Take the next turn; return the nanoseconds until then. */
  synchronized long take() {
    long now = nanoTime.getAsLong();
    long wait = Math.min(Math.max(next - now, 0), longestNanos);
    next = now + wait + intervalNanos;
    return wait;
  }
}
