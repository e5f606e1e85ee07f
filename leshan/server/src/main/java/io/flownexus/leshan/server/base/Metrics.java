package io.flownexus.leshan.server.base;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.datapoints.DistributionDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/**
 * Every metric of Leshan, named flownexus_leshan_&lt;what&gt;_&lt;unit&gt;; a counter's gets
 * `_total`.
 *
 * <p>What is counted by the item is a data point that was looked up before.
 */
public final class Metrics {

  /** The content type of {@link #text}. */
  public static final String CONTENT_TYPE = PrometheusTextFormatWriter.CONTENT_TYPE;

  /** What is looked at when somebody asks. */
  public enum Gauge {
    HEAP_USED_BYTES("Java heap in use."),
    HEAP_KEPT_BYTES("Old generation after its last collection."),
    SPOOL_BYTES("Bytes waiting to be stored."),
    SPOOL_BOUND_BYTES("Devices are refused at it."),
    SPOOL_FILE_BYTES("Spool file and its log."),
    SPOOL_PENDING_ITEMS("Items waiting to be stored."),
    SPOOL_SET_ASIDE_ITEMS("Items no function takes."),
    SPOOL_OLDEST_SECONDS("Age of the oldest item."),
    SPOOL_WRITABLE("0 while the disk takes nothing."),
    SPOOL_SYNCHRONOUS("SQLite's synchronous: 2 is FULL."),
    OPEN_REQUESTS("Requests waiting for their device.");

    private final String help;

    Gauge(String help) {
      this.help = help;
    }
  }

  /** What is told of a webhook. */
  public record Webhook(
      CounterDataPoint posts,
      CounterDataPoint failedPosts,
      CounterDataPoint storedItems,
      CounterDataPoint rejectedItems,
      CounterDataPoint setAsideItems,
      DistributionDataPoint postSeconds) {}

  private static final String PREFIX = "flownexus_leshan_";
  private static final double[] MILLISECONDS_TO_SECONDS = {
    0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10
  };
  private static final double[] UP_TO_AN_HOUR = {
    0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600
  };

  private final PrometheusRegistry registry = new PrometheusRegistry();
  private final Map<Gauge, LongSupplier> gauges = new ConcurrentHashMap<>();
  private final Map<String, LongSupplier> peers = new ConcurrentHashMap<>();

  public final CounterDataPoint notifications = counter("notifications", "Notifications received.");
  public final CounterDataPoint invalidNotifications =
      counter("invalid_notifications", "Notifications without a value.");
  public final CounterDataPoint movedNotifications =
      counter("moved_notifications", "Notifications from where their device is not registered.");
  public final CounterDataPoint sends = counter("sends", "LwM2M Sends received.");
  public final CounterDataPoint suppressedFailures =
      counter("suppressed_failures", "Failures not posted, beyond ten a minute for an endpoint.");
  public final CounterDataPoint establishedSessions =
      counter("established_sessions", "DTLS handshakes that ended well.");
  public final CounterDataPoint refusedHandshakes =
      counter("refused_handshakes", "DTLS handshakes refused.");
  public final CounterDataPoint unauthorizedRequests =
      counter("unauthorized_requests", "Requests of devices refused.");
  public final CounterDataPoint duplicateMessages =
      counter("duplicate_messages", "Repeated messages recognised after a restart.");
  public final CounterDataPoint spoolCommits = counter("spool_commits", "Transactions committed.");
  public final CounterDataPoint spoolCommittedItems =
      counter("spool_committed_items", "Items committed.");
  public final CounterDataPoint spoolCountedItems =
      counter("spool_counted_items", "Items counted and dropped.");
  public final CounterDataPoint spoolFailedCommits =
      counter("spool_failed_commits", "Transactions that failed.");
  public final DistributionDataPoint spoolCommitSeconds =
      histogram("spool_commit_seconds", "How long commits take.", MILLISECONDS_TO_SECONDS);

  private final Histogram requestSeconds =
      histogram(
          "request_seconds",
          "From a REST request to its device's answer.",
          UP_TO_AN_HOUR,
          "result");
  private final Counter refusedRequests =
      counter("refused_requests", "Requests of devices answered with an error.", "request", "code");
  private final Counter refusedMessages =
      counter("refused_messages", "Refused, the spool is full.", "what");
  private final Counter repeatedMessages =
      counter("repeated_messages", "Messages that came again.", "protocol");
  private final Counter unrememberedMessages =
      counter("unremembered_messages", "Messages of more peers than there is room.", "protocol");
  private final Counter posts = counter("webhook_posts", "Batches posted.", "kind");
  private final Counter failedPosts =
      counter("webhook_failed_posts", "Posts to be tried again.", "kind");
  private final Counter storedItems =
      counter("webhook_stored_items", "Items a function has stored.", "kind");
  private final Counter rejectedItems =
      counter("webhook_rejected_items", "Items a function rejected.", "kind");
  private final Counter setAsideItems =
      counter("webhook_set_aside_items", "Items no function takes.", "kind");
  private final Histogram postSeconds =
      histogram(
          "webhook_post_seconds", "From a post to its answer.", MILLISECONDS_TO_SECONDS, "kind");

  /** Make all of them; gauges are told when there is something to show. */
  public Metrics() {
    for (Gauge gauge : Gauge.values()) {
      GaugeWithCallback.builder()
          .name(PREFIX + gauge.name().toLowerCase(Locale.ROOT))
          .help(gauge.help)
          .callback(
              shown -> {
                LongSupplier value = gauges.get(gauge);
                if (value != null) {
                  shown.call(value.getAsLong());
                }
              })
          .register(registry);
    }
    GaugeWithCallback.builder()
        .name(PREFIX + "remembered_peers")
        .help("Peers whose messages are remembered.")
        .labelNames("protocol")
        .callback(
            shown -> peers.forEach((protocol, count) -> shown.call(count.getAsLong(), protocol)))
        .register(registry);
  }

  /** Show what a supplier returns. */
  public void show(Gauge gauge, LongSupplier value) {
    gauges.put(gauge, value);
  }

  /** Show how many peers of a protocol are remembered. */
  public void showRememberedPeers(String protocol, LongSupplier count) {
    peers.put(protocol, count);
  }

  /** Return what counts a webhook's posts. */
  public Webhook webhook(String kind) {
    return new Webhook(
        posts.labelValues(kind),
        failedPosts.labelValues(kind),
        storedItems.labelValues(kind),
        rejectedItems.labelValues(kind),
        setAsideItems.labelValues(kind),
        postSeconds.labelValues(kind));
  }

  /** Return what takes the times of REST requests to devices that end like this. */
  public DistributionDataPoint requestSeconds(String result) {
    return requestSeconds.labelValues(result);
  }

  /** Return what counts the requests of devices that were answered with this code. */
  public CounterDataPoint refusedRequests(String request, String code) {
    return refusedRequests.labelValues(request, code);
  }

  /** Return what counts messages, of this kind, that the full spool has no room for. */
  public CounterDataPoint refusedMessages(String what) {
    return refusedMessages.labelValues(what);
  }

  /** Return what counts a protocol's messages that came again. */
  public CounterDataPoint repeatedMessages(String protocol) {
    return repeatedMessages.labelValues(protocol);
  }

  /** Return what counts a protocol's messages that will not be known again. */
  public CounterDataPoint unrememberedMessages(String protocol) {
    return unrememberedMessages.labelValues(protocol);
  }

  /** Return all in Prometheus' text format. */
  public String text() {
    ByteArrayOutputStream text = new ByteArrayOutputStream(16384);
    try {
      PrometheusTextFormatWriter.create().write(text, registry.scrape());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return text.toString(StandardCharsets.UTF_8);
  }

  private Counter counter(String name, String help, String... labels) {
    return Counter.builder()
        .name(PREFIX + name)
        .help(help)
        .labelNames(labels)
        .withoutExemplars()
        .register(registry);
  }

  private Histogram histogram(String name, String help, double[] bounds, String... labels) {
    return Histogram.builder()
        .name(PREFIX + name)
        .help(help)
        .labelNames(labels)
        .classicOnly()
        .classicUpperBounds(bounds)
        .withoutExemplars()
        .register(registry);
  }
}
