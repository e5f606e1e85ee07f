package io.flownexus.leshan.server.webhook;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.leshan.core.observation.ObservationIdentifier;

/**
 * Knows the newest notification of each observation, to tell one that was overtaken (RFC 7641,
 * 3.4).
 *
 * <p>After a restart the first notification is the newest, whichever it is.
 */
final class ObserveOrder {

  private static final int NUMBER_BITS = 24;
  private static final int HALF = 1 << NUMBER_BITS - 1;
  private static final long NUMBERS_START_ANEW_MILLIS = 128_000;

  private record Newest(int number, long millis) {}

  // The token as one number: a few bytes an observation, of which there may be many.
  private final Map<Long, Newest> newest = new ConcurrentHashMap<>();

  /**
   * Return the time in epoch milliseconds that the value of a notification counts from.
   *
   * <p>That is its receipt, or, when a newer one has overtaken it, the last moment before the
   * receipt of that one: it is history, and does not become the latest value.
   */
  long time(ObservationIdentifier observation, Integer number, long receipt) {
    if (number == null) {
      return receipt;
    }
    Newest own = new Newest(number, receipt);
    Newest now =
        newest.merge(key(observation), own, (known, come) -> isOlder(come, known) ? known : come);
    return now == own ? receipt : Math.min(receipt, now.millis - 1);
  }

  /** Forget an observation that is over. */
  void forget(ObservationIdentifier observation) {
    newest.remove(key(observation));
  }

  private static boolean isOlder(Newest come, Newest known) {
    int behind = known.number - come.number & (1 << NUMBER_BITS) - 1;
    return behind != 0 && behind < HALF && come.millis <= known.millis + NUMBERS_START_ANEW_MILLIS;
  }

  private static long key(ObservationIdentifier observation) {
    long key = 0;
    for (byte b : observation.getBytes()) {
      key = key * 0x100000001b3L ^ b & 0xff;
    }
    return key;
  }
}
