package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.RefusalCause;
import io.flownexus.leshan.server.security.RefusalListener;
import io.flownexus.leshan.server.security.TokenBucket;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Counts requests of devices that were refused, by what was asked and by the answer's code.
 *
 * <p>Each is a line of the log as well, up to so many in a minute of each such kind: a fleet that
 * does the same thing wrong, or a flood, is not to fill the disk.
 */
final class Refusals {

  private static final Logger LOG = LoggerFactory.getLogger(Refusals.class);
  private static final int LINES_PER_MINUTE = 20;
  private static final String REGISTER = "register";

  // What DevicePolicy refuses, 4.03, it tells itself; 5.03 is no fault of the device's.
  private static final Map<ResponseCode, RefusalCause> CAUSES =
      Map.of(
          ResponseCode.BAD_REQUEST, RefusalCause.MALFORMED_REGISTRATION,
          ResponseCode.PRECONDITION_FAILED, RefusalCause.UNSUPPORTED_VERSION,
          ResponseCode.TOO_MANY_REQUESTS, RefusalCause.TOO_MANY_NEW_ENDPOINTS);

  private record RefusedRequest(String what, String code) {}

  private static final class Told {
    private final CounterDataPoint count;
    private final TokenBucket lines = new TokenBucket(LINES_PER_MINUTE, System.nanoTime());
    private long leftOut;

    Told(CounterDataPoint count) {
      this.count = count;
    }

    // Returns how many were left out since the last line, or -1 when this one is to be, too.
    synchronized long line() {
      if (!lines.has(System.nanoTime())) {
        leftOut++;
        return -1;
      }
      lines.take();
      long before = leftOut;
      leftOut = 0;
      return before;
    }
  }

  private final Metrics metrics;
  private final ConcurrentMap<RefusedRequest, Told> counted = new ConcurrentHashMap<>();

  private final RefusalListener listener;

  Refusals(Metrics metrics, RefusalListener listener) {
    this.metrics = metrics;
    this.listener = listener;
  }

  void tell(Request request, Response response) {
    String what = what(request);
    String code = response.getCode().toString();
    Told told = counted.computeIfAbsent(new RefusedRequest(what, code), this::count);
    told.count.inc();
    InetSocketAddress peer = request.getSourceContext().getPeerAddress();
    RefusalCause cause = what.equals(REGISTER) ? CAUSES.get(response.getCode()) : null;
    if (cause != null) {
      listener.refused(
          endpoint(request), peer.getAddress(), cause, Printable.line(response.getPayloadString()));
    }
    long leftOut = told.line();
    if (leftOut < 0) {
      return;
    }
    LOG.warn(
        "{} of {} by {}:{} refused: {} {}{}",
        what,
        subject(request),
        peer.getAddress().getHostAddress(),
        peer.getPort(),
        code,
        Printable.line(response.getPayloadString()),
        leftOut == 0 ? "" : " (and " + leftOut + " more, not logged)");
  }

  private Told count(RefusedRequest refused) {
    return new Told(metrics.refusedRequests(refused.what, refused.code));
  }

  // Few words for what anybody may ask: each is a label of a metric.
  private static String what(Request request) {
    List<String> path = RequestCheck.path(request);
    String first = path.isEmpty() ? "" : path.get(0);
    if (first.equals("rd") && request.getCode() == Code.POST) {
      return path.size() == 1 ? REGISTER : "update";
    }
    if (first.equals("rd") && request.getCode() == Code.DELETE) {
      return "deregister";
    }
    return first.equals("dp") && request.getCode() == Code.POST ? "send" : "other";
  }

  private static String subject(Request request) {
    String endpoint = endpoint(request);
    return endpoint == null
        ? "/" + Printable.line(request.getOptions().getUriPathString())
        : "'" + Printable.line(endpoint) + "'";
  }

  private static String endpoint(Request request) {
    for (String parameter : request.getOptions().getUriQueryStrings()) {
      if (parameter.startsWith("ep=")) {
        return parameter.substring(3);
      }
    }
    return null;
  }
}
