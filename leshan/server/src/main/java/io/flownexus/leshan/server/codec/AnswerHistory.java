package io.flownexus.leshan.server.codec;

import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;

/**
 * The older values of a device's answer that brings a history.
 *
 * <p>Leshan takes values of several times from notifications, but of an answer those of one time
 * alone. The decoder gives it the newest, and keeps the others here.
 */
public final class AnswerHistory {

  /** What was at one time: a node, or nodes by path; no time is that of the receipt. */
  public record Entry(Instant time, LwM2mNode node, Map<LwM2mPath, LwM2mNode> nodes) {}

  private static final Comparator<Instant> BY_TIME =
      Comparator.nullsLast(Comparator.naturalOrder());
  private static final ThreadLocal<AnswerHistory> CURRENT = new ThreadLocal<>();

  private byte[] payload;
  private volatile List<Entry> older = List.of();

  /** Keep the older values of this payload, which the same thread decodes next. */
  public void expect(byte[] payload) {
    if (this.payload == null) {
      this.payload = payload;
      CURRENT.set(this);
    }
  }

  /** Return the older values, oldest first. */
  public List<Entry> older() {
    return older;
  }

  /** Return all that was decoded, or the newest where it is of an answer. */
  static List<TimestampedLwM2mNode> newest(byte[] content, List<TimestampedLwM2mNode> decoded) {
    AnswerHistory history = of(content);
    if (history == null || decoded.size() < 2) {
      return decoded;
    }
    Entry newest =
        history.keep(
            decoded.stream().map(each -> new Entry(each.getTimestamp(), each.getNode(), null)));
    return List.of(new TimestampedLwM2mNode(newest.time(), newest.node()));
  }

  /** Return all that was decoded, or the newest where it is of an answer. */
  static TimestampedLwM2mNodes newest(byte[] content, TimestampedLwM2mNodes decoded) {
    AnswerHistory history = of(content);
    if (history == null || decoded.getTimestamps().size() < 2) {
      return decoded;
    }
    Entry newest =
        history.keep(
            decoded.getTimestamps().stream()
                .map(time -> new Entry(time, null, decoded.getNodesAt(time))));
    return TimestampedLwM2mNodes.builder().addNodes(newest.time(), newest.nodes()).build();
  }

  // Returns the newest, and keeps the others.
  private Entry keep(Stream<Entry> all) {
    List<Entry> sorted = all.sorted(Comparator.comparing(Entry::time, BY_TIME)).toList();
    older = sorted.subList(0, sorted.size() - 1);
    return sorted.get(sorted.size() - 1);
  }

  // The payload itself tells whose it is: what this thread decodes next may be a notification.
  private static AnswerHistory of(byte[] content) {
    AnswerHistory current = CURRENT.get();
    if (current == null) {
      return null;
    }
    CURRENT.remove();
    return current.payload == content ? current : null;
  }
}
