package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.security.RefusalCause;
import io.flownexus.leshan.server.security.RefusalListener;
import java.net.InetAddress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Tells of devices that are not let in: one item every few seconds for each endpoint, address and
 * cause, with how often it was. Unknown identities of pre-shared keys are told apart as well: many
 * devices may have one address.
 *
 * <p>Whoever reaches the port can make up names. Of more than so many at once, the others are
 * counted by cause alone. Of more than so many identities, the others are counted by address, so
 * that room is left for what is told of other devices.
 */
public final class RefusalItems implements RefusalListener, AutoCloseable {

  private static final int PERIOD_SECONDS = 5;
  static final int MOST_AT_ONCE = 50;
  static final int MOST_IDENTITIES_AT_ONCE = 20;
  private static final int LONGEST_ENDPOINT = 255; // characters

  /**
   * What was refused, as the items tell it; an empty endpoint or address is none in particular, and
   * so is an identity that is null.
   */
  record Refused(String endpoint, String address, RefusalCause cause, String identity) {}

  /** How often, when for the last time (epoch milliseconds), and what was said of that. */
  record Count(long times, long last, String detail) {
    Count and(Count later) {
      return new Count(times + later.times, later.last, later.detail);
    }
  }

  private final Spool spool;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "refusals");
            thread.setDaemon(true);
            return thread;
          });
  private Map<Refused, Count> counts = new LinkedHashMap<>();

  /** Begin to tell a spool. */
  public RefusalItems(Spool spool) {
    this.spool = spool;
    timer.scheduleWithFixedDelay(this::flush, PERIOD_SECONDS, PERIOD_SECONDS, TimeUnit.SECONDS);
  }

  @Override
  public synchronized void refused(
      String endpoint, InetAddress address, RefusalCause cause, String detail) {
    String from = address.getHostAddress();
    boolean isOfIdentity = cause == RefusalCause.UNKNOWN_IDENTITY;
    Refused refused = new Refused(cut(endpoint), from, cause, isOfIdentity ? detail : null);
    if (isOfIdentity && identities() >= MOST_IDENTITIES_AT_ONCE && !counts.containsKey(refused)) {
      refused = new Refused(cut(endpoint), from, cause, null);
    }
    if (counts.size() >= MOST_AT_ONCE && !counts.containsKey(refused)) {
      refused = new Refused("", "", cause, null);
    }
    String told = isOfIdentity ? refused.identity() : detail;
    counts.merge(refused, new Count(1, System.currentTimeMillis(), told), Count::and);
  }

  private long identities() {
    return counts.keySet().stream().filter(refused -> refused.identity() != null).count();
  }

  /** Tell what has come together; nothing while the spool has no room. */
  void flush() {
    Map<Refused, Count> told;
    synchronized (this) {
      if (counts.isEmpty() || !spool.accepting()) {
        return;
      }
      told = counts;
      counts = new LinkedHashMap<>();
    }
    List<Item> items = new ArrayList<>();
    told.forEach((refused, count) -> items.add(ItemWriter.refusal(refused, count)));
    spool.append(items, null);
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }

  private static String cut(String endpoint) {
    if (endpoint == null) {
      return "";
    }
    return endpoint.length() <= LONGEST_ENDPOINT
        ? endpoint
        : endpoint.substring(0, LONGEST_ENDPOINT);
  }
}
