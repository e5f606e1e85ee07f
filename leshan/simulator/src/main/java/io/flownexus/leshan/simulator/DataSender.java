package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.SendRequest;

/** Sends values unasked: the Send operation. */
final class DataSender {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  private final DeviceExecutor executor;
  private final DeviceObjects objects;
  private final Ledger ledger;
  private final Radio radio;
  private final ServerLink link;

  DataSender(
      DeviceExecutor executor, DeviceObjects objects, Ledger ledger, Radio radio, ServerLink link) {
    this.executor = executor;
    this.objects = objects;
    this.ledger = ledger;
    this.radio = radio;
    this.link = link;
  }

  /**
   * Send resources' values; IllegalArgumentException when the device has none at a path.
   *
   * @param timestamps how many values of each, a second apart; 0: one, without a time
   * @return the response code, like "2.04", or a failure
   */
  CompletableFuture<String> send(List<LwM2mPath> paths, int timestamps) {
    radio.on();
    TimestampedLwM2mNodes values = collect(paths, timestamps);
    CompletableFuture<String> result = new CompletableFuture<>();
    link.send(
        new SendRequest(ContentFormat.SENML_CBOR, values, null),
        TIMEOUT,
        response -> {
          int code = response.getCode().getCode();
          String shown = "%d.%02d".formatted(code / 100, code % 100);
          int mid = ((Request) response.getCoapResponse()).getMID();
          executor.dispatch(
              () -> {
                end(values, mid, response.isSuccess() ? null : shown);
                result.complete(shown);
              });
        },
        error -> {
          executor.dispatch(
              () -> {
                end(values, Message.NONE, String.valueOf(error.getMessage()));
                result.completeExceptionally(error);
              });
        });
    return result;
  }

  private TimestampedLwM2mNodes collect(List<LwM2mPath> paths, int timestamps) {
    TimestampedLwM2mNodes.Builder nodes = TimestampedLwM2mNodes.builder();
    Instant now = Instant.ofEpochMilli(System.currentTimeMillis());
    for (int i = Math.max(1, timestamps); i > 0; i--) {
      for (LwM2mPath path : paths) {
        put(nodes, timestamps == 0 ? null : now.minusSeconds(i - 1), path, objects.take(path));
      }
    }
    return nodes.build();
  }

  // A Send has no multiple resources: each instance goes by its own path.
  private static void put(
      TimestampedLwM2mNodes.Builder nodes, Instant time, LwM2mPath path, LwM2mResource resource) {
    if (!resource.isMultiInstances()) {
      nodes.put(time, path, resource);
      return;
    }
    for (LwM2mResourceInstance instance : resource.getInstances().values()) {
      nodes.put(
          time,
          new LwM2mPath(
              path.getObjectId(),
              path.getObjectInstanceId(),
              path.getResourceId(),
              instance.getId()),
          instance);
    }
  }

  /** Write down what came of it; `why` is null when the server took it. */
  private void end(TimestampedLwM2mNodes values, int mid, String why) {
    radio.sleepLater();
    for (Instant time : values.getTimestamps()) {
      String more = "\"kind\":\"send\"" + (time == null ? "" : ",\"ts\":" + time.toEpochMilli());
      values
          .getNodesAt(time)
          .forEach(
              (path, node) -> {
                if (why == null) {
                  ledger.acknowledged(path, node, mid, more);
                } else {
                  ledger.unacknowledged(path, node, mid, more, why);
                }
              });
    }
  }
}
