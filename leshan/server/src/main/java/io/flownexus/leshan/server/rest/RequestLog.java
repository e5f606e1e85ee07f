package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.CorrelationId;
import jakarta.servlet.http.HttpServletRequest;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * Logs a REST request and how it ends, at INFO if its caller follows it by an id.
 *
 * <p>The endpoint is null while it is not known, the id where the caller gives none. Neither query
 * nor body is told, for they hold values.
 */
record RequestLog(String method, String uri, String correlationId, String endpoint, long began) {

  private static final Logger LOG = LoggerFactory.getLogger(RequestLog.class);

  static RequestLog of(HttpServletRequest request) {
    return new RequestLog(
        request.getMethod(),
        request.getRequestURI(),
        CorrelationId.accept(request.getHeader(CorrelationId.HEADER)),
        null,
        System.nanoTime());
  }

  /** Return the same, of an endpoint. */
  RequestLog about(String endpoint) {
    return new RequestLog(method, uri, correlationId, endpoint, began);
  }

  /** Return how long ago the request came. */
  long nanos() {
    return System.nanoTime() - began;
  }

  void asked() {
    line(usual()).log("{} {}", method, uri);
  }

  void answered(HttpAnswer answer) {
    long millis = TimeUnit.NANOSECONDS.toMillis(nanos());
    line(usual()).log("{} {} ended after {} ms: {}", method, uri, millis, answer.result());
  }

  void failed(Throwable error) {
    line(Level.WARN).log("{} {} failed: {}", method, uri, error.toString());
  }

  void abandoned() {
    line(Level.INFO).log("{} {} cancelled: its caller is gone", method, uri);
  }

  void undelivered(Exception error) {
    line(Level.DEBUG).log("{} {}: answer not delivered: {}", method, uri, error.toString());
  }

  private Level usual() {
    return correlationId == null ? Level.DEBUG : Level.INFO;
  }

  private LoggingEventBuilder line(Level level) {
    LoggingEventBuilder line = LOG.atLevel(level);
    if (endpoint != null) {
      line = line.addKeyValue("endpoint", endpoint);
    }
    return correlationId == null ? line : line.addKeyValue(CorrelationId.KEY, correlationId);
  }
}
