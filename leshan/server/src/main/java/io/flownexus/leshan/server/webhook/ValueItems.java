package io.flownexus.leshan.server.webhook;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;

/**
 * Makes items of the values in a message, oldest first.
 *
 * <p>Values without a time of their own are of {@code now}, in epoch milliseconds.
 */
final class ValueItems {

  private ValueItems() {}

  /** Make an item for each value of a path. */
  static List<Item> of(
      String endpoint, LwM2mPath path, List<TimestampedLwM2mNode> values, long now) {
    return values.stream()
        .filter(value -> value.getNode() != null)
        .sorted(Comparator.comparingLong(value -> time(value.getTimestamp(), now)))
        .map(
            value ->
                ItemWriter.observed(
                    endpoint, path, value.getNode(), time(value.getTimestamp(), now)))
        .toList();
  }

  /** Make an item for each path and time. */
  static List<Item> singles(String endpoint, TimestampedLwM2mNodes values, long now) {
    List<Item> items = new ArrayList<>();
    for (Instant time : times(values, now)) {
      values
          .getNodesAt(time)
          .forEach(
              (path, node) ->
                  items.add(ItemWriter.observed(endpoint, path, node, time(time, now))));
    }
    return items;
  }

  /** Make a composite for each time. */
  static List<Item> composites(String endpoint, TimestampedLwM2mNodes values, long now) {
    List<Item> items = new ArrayList<>();
    for (Instant time : times(values, now)) {
      Map<LwM2mPath, LwM2mNode> nodes = values.getNodesAt(time);
      if (nodes != null && nodes.values().stream().anyMatch(Objects::nonNull)) {
        items.add(ItemWriter.nodes(endpoint, nodes, time(time, now)));
      }
    }
    return items;
  }

  private static List<Instant> times(TimestampedLwM2mNodes values, long now) {
    List<Instant> times = new ArrayList<>(values.getTimestamps());
    times.sort(Comparator.comparingLong(time -> time(time, now)));
    return times;
  }

  /** Return a time in epoch milliseconds. */
  static long time(Instant time, long now) {
    if (time == null) {
      return now;
    }
    try {
      return time.toEpochMilli();
    } catch (ArithmeticException e) { // beyond 64 bits: as far as they go
      return time.getEpochSecond() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
    }
  }
}
