package io.flownexus.leshan.simulator;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.elements.util.ClockUtil;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DownlinkRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadCompositeRequest;
import org.eclipse.leshan.core.request.SimpleDownlinkRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteCompositeRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.SendableResponse;

/** Receives a device's requests and logs each with its answer. */
final class RequestLog implements DownlinkRequestReceiver {
  private final String endpoint;
  private final JsonLines log;
  private final Ledger ledger;
  private DownlinkRequestReceiver next;
  private volatile boolean failing;

  RequestLog(String endpoint, JsonLines log, Ledger ledger, boolean failing) {
    this.endpoint = endpoint;
    this.log = log;
    this.ledger = ledger;
    this.failing = failing;
  }

  /** Say who answers; call this before any request comes. */
  void handOnTo(DownlinkRequestReceiver receiver) {
    next = receiver;
  }

  /** Return who answers without being logged: for notifications. */
  DownlinkRequestReceiver next() {
    return next;
  }

  /** Answer 5.00 to everything, or no longer. */
  void fail(boolean failing) {
    this.failing = failing;
  }

  boolean isFailing() {
    return failing;
  }

  @Override
  public <T extends LwM2mResponse> SendableResponse<T> requestReceived(
      LwM2mServer server, DownlinkRequest<T> request) {
    SendableResponse<T> response = next.requestReceived(server, request);
    record(request, response.getResponse());
    return response;
  }

  @Override
  public void onError(
      LwM2mServer server,
      Exception error,
      Class<? extends DownlinkRequest<? extends LwM2mResponse>> requestType) {
    next.onError(server, error, requestType);
  }

  /** Log a request that is answered before Leshan has understood it. */
  void add(Request coap, ResponseCode result) {
    boolean observing = coap.getOptions().hasObserve();
    int depth = coap.getOptions().getUriPath().size();
    String operation =
        switch (coap.getCode()) {
          case GET -> observing ? "observe" : "read";
          case PUT -> coap.getPayloadSize() == 0 ? "write-attributes" : "write";
          case POST -> depth == 3 ? "execute" : depth == 2 ? "write" : "create";
          case FETCH -> observing ? "observe-composite" : "read-composite";
          case IPATCH -> "write-composite";
          default -> coap.getCode().name().toLowerCase(Locale.ROOT);
        };
    boolean text = coap.getOptions().getContentFormat() == ContentFormat.TEXT_CODE;
    String path = "/" + coap.getOptions().getUriPathString();
    record(coap, operation, path, text ? coap.getPayloadString() : null, result);
  }

  private void record(DownlinkRequest<?> request, LwM2mResponse response) {
    Request coap = (Request) request.getCoapRequest();
    record(coap, operation(request, coap), path(request), value(request), response.getCode());
    if (response.isSuccess() && response instanceof ObserveResponse answer) {
      LwM2mPath path = ((ObserveRequest) request).getPath();
      ledger.answered(path, answer.getContent(), coap.getMID());
    } else if (response.isSuccess() && response instanceof ObserveCompositeResponse answer) {
      answer
          .getContent()
          .forEach(
              (path, node) -> {
                if (node != null) { // what the device has not is null
                  ledger.answered(path, node, coap.getMID());
                }
              });
    }
  }

  private void record(
      Request coap, String operation, String path, Object value, ResponseCode result) {
    long now = System.currentTimeMillis();
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("t", now - waited(coap));
    line.put("answered", now);
    line.put("ep", endpoint);
    line.put("operation", operation);
    line.put("path", path);
    line.put("value", value);
    int code = result.getCode();
    line.put("result", String.format(Locale.ROOT, "%d.%02d", code / 100, code % 100));
    log.add(line);
  }

  private static long waited(Request coap) {
    long nanos = ClockUtil.nanoRealtime() - coap.getNanoTimestamp();
    return TimeUnit.NANOSECONDS.toMillis(Math.max(0, nanos));
  }

  /** Name the operation as the class of the request does: ReadCompositeRequest: read-composite. */
  private static String operation(DownlinkRequest<?> request, Request coap) {
    String name =
        request
            .getClass()
            .getSimpleName()
            .replaceAll("Request$", "")
            .replaceAll("(?<=[a-z])(?=[A-Z])", "-")
            .toLowerCase(Locale.ROOT);
    return coap.isObserveCancel() ? "cancel-" + name : name;
  }

  private static String path(DownlinkRequest<?> request) {
    if (request instanceof SimpleDownlinkRequest<?> simple) {
      return simple.getPath().toString();
    } else if (request instanceof ReadCompositeRequest read) {
      return joined(read.getPaths());
    } else if (request instanceof ObserveCompositeRequest observe) {
      return joined(observe.getPaths());
    } else if (request instanceof WriteCompositeRequest write) {
      return joined(write.getNodes().keySet());
    }
    return "";
  }

  private static String joined(Iterable<LwM2mPath> paths) {
    StringBuilder all = new StringBuilder();
    paths.forEach(path -> all.append(all.isEmpty() ? "" : ",").append(path));
    return all.toString();
  }

  private static Object value(DownlinkRequest<?> request) {
    if (request instanceof WriteRequest write) {
      return shown(write.getPath(), write.getNode());
    } else if (request instanceof ExecuteRequest execute) {
      return execute.getArguments().serialize();
    } else if (request instanceof WriteAttributesRequest attributes) {
      return attributes.getAttributes().toString();
    } else if (request instanceof CreateRequest create) {
      return String.valueOf(
          create.unknownObjectInstanceId() ? create.getResources() : create.getObjectInstances());
    } else if (request instanceof WriteCompositeRequest write) {
      return write.getNodes().entrySet().stream()
          .collect(
              Collectors.toMap(e -> e.getKey().toString(), e -> shown(e.getKey(), e.getValue())));
    }
    return null;
  }

  private static Object shown(LwM2mPath path, LwM2mNode node) {
    if (path.isResource() || path.isResourceInstance()) {
      return Values.plain(node);
    }
    Map<String, Object> values = new LinkedHashMap<>();
    Values.each(path, node, (each, value) -> values.put(each.toString(), Values.plain(value)));
    return values;
  }
}
