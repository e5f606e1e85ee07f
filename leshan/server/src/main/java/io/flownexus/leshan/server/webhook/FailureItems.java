package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.codec.Rejected;
import io.flownexus.leshan.server.codec.UnreadableException;
import io.flownexus.leshan.server.webhook.FailureLimit.Reason;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Makes items of what devices send that gives no value, and logs it; of each kind a few. */
final class FailureItems {

  private static final Logger LOG = LoggerFactory.getLogger(FailureItems.class);
  private static final int LOGGED_BYTES = 32;

  private final FailureLimit limit = new FailureLimit();
  private final CounterDataPoint dropped;

  FailureItems(Metrics metrics) {
    dropped = metrics.suppressedFailures;
  }

  /** Make items of what an error rejects; what names the message that carried it. */
  List<Item> of(String endpoint, LwM2mPath path, Exception error, String what) {
    UnreadableException unreadable = UnreadableException.in(error);
    if (unreadable != null) {
      return of(endpoint, unreadable, what);
    }
    String known = path == null ? null : path.toString();
    Rejected rejected = new Rejected(known, String.valueOf(error.getMessage()), new byte[0]);
    return of(endpoint, Reason.UNREADABLE, List.of(rejected), null, what);
  }

  /** Make items of all that could not be read of a message. */
  List<Item> of(String endpoint, UnreadableException unreadable, String what) {
    return of(endpoint, Reason.UNREADABLE, unreadable.rejected(), unreadable.format(), what);
  }

  /** Make an item of a notification by which a device ends an observation. */
  List<Item> ended(String endpoint, String path, String answer) {
    Rejected rejected = new Rejected(path, answer, new byte[0]);
    return of(endpoint, Reason.ENDED, List.of(rejected), null, "notification");
  }

  private List<Item> of(
      String endpoint, Reason reason, List<Rejected> rejected, Integer format, String what) {
    long now = System.currentTimeMillis();
    List<Item> items = new ArrayList<>();
    for (Rejected one : rejected) {
      long suppressed = limit.admit(endpoint, reason, now);
      if (suppressed < 0) {
        dropped.inc();
        continue;
      }
      String text = reason.text() + ": " + one.reason();
      log(endpoint, what, one, text, format, suppressed);
      Failure failure = new Failure(one.path(), text, format, one.payload(), suppressed);
      items.add(ItemWriter.failure(endpoint, failure, now));
    }
    return items;
  }

  private static void log(
      String endpoint, String what, Rejected one, String text, Integer format, long suppressed) {
    byte[] payload = one.payload();
    LOG.atWarn()
        .addKeyValue("endpoint", endpoint)
        .log(
            "{} of {}, {} (format {}, {} bytes: {}{})",
            what,
            one.path() == null ? "an unknown path" : one.path(),
            text,
            format,
            payload.length,
            HexFormat.of().formatHex(payload, 0, Math.min(payload.length, LOGGED_BYTES)),
            suppressed == 0 ? "" : "; " + suppressed + " more since the last one told");
  }
}
