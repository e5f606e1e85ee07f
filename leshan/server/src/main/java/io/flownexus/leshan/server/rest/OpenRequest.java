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

/** An HTTP request that waits for its device without a thread, and ends exactly once. */
final class OpenRequest implements AsyncListener {

  /** Tells a caller for sure that nothing left for the device. */
  static final String UNSENT_HEADER = "X-Request-Unsent";

  private static final String ABANDONED = "abandoned";

  private final AsyncContext async;
  private final RequestLog log;
  private final AtomicLong open;
  private final Metrics metrics;
  private final AtomicBoolean ended = new AtomicBoolean();
  private volatile Request coapRequest;

  /** Begin; the container gives up after the given time should the CoAP layer never answer. */
  OpenRequest(
      AsyncContext async, RequestLog log, long timeoutMillis, AtomicLong open, Metrics metrics) {
    this.async = async;
    this.log = log;
    this.open = open;
    this.metrics = metrics;
    open.incrementAndGet();
    async.setTimeout(timeoutMillis);
    async.addListener(this);
    log.asked();
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
    HttpAnswer answer = HttpAnswer.failed(error, log.endpoint());
    if (answer.status() >= 500 && answer.status() != 504) {
      log.failed(error);
    }
    end(answer);
  }

  /** Take back what is under way: nobody waits for its answer. */
  void abandon() {
    if (ended(ABANDONED)) {
      log.abandoned();
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
    metrics.requestSeconds(result).observe(Unit.nanosToSeconds(log.nanos()));
    return true;
  }

  private void cancel() {
    Request request = coapRequest;
    if (request != null) {
      request.cancel();
    }
  }

  private void write(HttpAnswer answer) {
    log.answered(answer);
    try {
      respond((HttpServletResponse) async.getResponse(), answer);
    } catch (IOException e) {
      log.undelivered(e);
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
