package io.flownexus.leshan.server.security;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** The endpoints that have registered before, in memory; subclasses keep them for longer. */
public class KnownEndpoints {

  /**
   * What is known of an endpoint.
   *
   * @param secure whether it ever registered over DTLS
   * @param day of its last registration, since 1970
   */
  public record Known(boolean secure, long day) {}

  private static final long DAY_MILLIS = 86_400_000;

  /** What is known, by endpoint name. */
  protected final ConcurrentMap<String, Known> known = new ConcurrentHashMap<>();

  /** Return whether an endpoint has registered before. */
  public boolean contains(String endpoint) {
    return known.containsKey(endpoint);
  }

  /** Return whether an endpoint has ever registered over DTLS. */
  public boolean cameSecurely(String endpoint) {
    Known found = known.get(endpoint);
    return found != null && found.secure;
  }

  /** Remember a registration. */
  public final void registered(String endpoint, boolean secure) {
    Known before = known.get(endpoint);
    Known now = new Known(secure || before != null && before.secure, today());
    if (!now.equals(before)) {
      known.merge(endpoint, now, (old, add) -> new Known(old.secure || add.secure, add.day));
      changed(endpoint);
    }
  }

  /** Is called after what is known of an endpoint has changed. */
  protected void changed(String endpoint) {}

  /** Return the days since 1970. */
  protected static long today() {
    return System.currentTimeMillis() / DAY_MILLIS;
  }
}
