package io.flownexus.leshan.server.webhook;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** How long to wait before a failed post is tried again: exponential, bounded, with jitter. */
record Backoff(Duration first, Duration longest) {

  private static final Duration LONGEST_RETRY_AFTER = Duration.ofMinutes(5);

  /** Return one that begins where this one ends. */
  Backoff slower() {
    return new Backoff(longest, LONGEST_RETRY_AFTER);
  }

  /** Return the wait after so many failures in a row, 1 or more, and what the answer asked for. */
  Duration after(int failures, Duration retryAfter) {
    double limit =
        Math.min(longest.toMillis(), first.toMillis() * Math.pow(2, Math.min(failures - 1, 30)));
    double millis = limit * ThreadLocalRandom.current().nextDouble(0.5, 1.0);
    if (retryAfter != null) {
      Duration asked =
          retryAfter.compareTo(LONGEST_RETRY_AFTER) > 0 ? LONGEST_RETRY_AFTER : retryAfter;
      millis = Math.max(millis, asked.toMillis());
    }
    return Duration.ofMillis(Math.round(millis));
  }
}
