package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.Metrics;
import io.prometheus.metrics.model.snapshots.Unit;
import jakarta.servlet.AsyncContext;
import jakarta.servlet.AsyncEvent;
import jakarta.servlet.AsyncListener;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.eclipse.californium.core.coap.Request;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** An HTTP request that waits for its device without a thread, and ends exactly once. */
final class OpenRequest implements AsyncListener {

  /** Tells a caller for sure that nothing left for the device. */
  static final String UNSENT_HEADER = "X-Request-Unsent";

  private static final String ABANDONED = "abandoned";
  private static final Logger LOG = LoggerFactory.getLogger(OpenRequest.class);

  private final AsyncContext async;
  private final String endpoint;
  private final AtomicLong open;
  private final Metrics metrics;
  private final long began = System.nanoTime();
  private final AtomicBoolean ended = new AtomicBoolean();
  private volatile Request coapRequest;

  /** Begin; the container gives up after the given time should the CoAP layer never answer. */
  OpenRequest(
      AsyncContext async, String endpoint, long timeoutMillis, AtomicLong open, Metrics metrics) {
    this.async = async;
    this.endpoint = endpoint;
    this.open = open;
    this.metrics = metrics;
    open.incrementAndGet();
    async.setTimeout(timeoutMillis);
    async.addListener(this);
  }

  /** Remember the CoAP request, to cancel it when the caller goes away. */
  void sending(Object lowerRequest) {
    if (lowerRequest instanceof Request request) {
      coapRequest = request;
      if (ended.get()) {
        request.cancel();
      }
    }
  }

  /** Answer the caller, on a thread of the HTTP server: CoAP threads never wait for a socket. */
  void end(HttpAnswer answer) {
    if (ended(answer.result())) {
      async.start(() -> write(answer));
    }
  }

  /** End because of an exception. */
  void fail(Throwable error) {
    HttpAnswer answer = HttpAnswer.failed(error, endpoint);
    if (answer.status() >= 500 && answer.status() != 504) {
      LOG.warn("request to '{}' failed: {}", endpoint, error.toString());
    }
    end(answer);
  }

  /** Take back what is under way: nobody waits for its answer. */
  void abandon() {
    if (ended(ABANDONED)) {
      LOG.info("request to '{}' cancelled: its caller is gone", endpoint);
      cancel();
      async.complete();
    }
  }

  @Override
  public void onTimeout(AsyncEvent event) {
    end(HttpAnswer.timeout());
    cancel();
  }

  @Override
  public void onError(AsyncEvent event) {
    abandon();
  }

  @Override
  public void onComplete(AsyncEvent event) {}

  @Override
  public void onStartAsync(AsyncEvent event) {}

  // Returns whether it was open until now.
  private boolean ended(String result) {
    if (!ended.compareAndSet(false, true)) {
      return false;
    }
    open.decrementAndGet();
    metrics.requestSeconds(result).observe(Unit.nanosToSeconds(System.nanoTime() - began));
    return true;
  }

  private void cancel() {
    Request request = coapRequest;
    if (request != null) {
      request.cancel();
    }
  }

  private void write(HttpAnswer answer) {
    try {
      HttpServletResponse response = (HttpServletResponse) async.getResponse();
      respond(response, answer);
    } catch (IOException e) {
      LOG.debug("answer about '{}' not delivered: {}", endpoint, e.toString());
    } finally {
      async.complete();
    }
  }

  /** Write an answer. */
  static void respond(HttpServletResponse response, HttpAnswer answer) throws IOException {
    response.setStatus(answer.status());
    response.setContentType(answer.contentType());
    if (answer.unsent()) {
      response.setHeader(UNSENT_HEADER, "true");
    }
    response.setContentLength(answer.body().length);
    response.getOutputStream().write(answer.body());
  }
}
