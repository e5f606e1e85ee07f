package io.flownexus.leshan.server;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An HTTP server that has one package of 40,000 bytes, under each token that begins with A, and
 * says what it was asked.
 */
final class PackageServer implements AutoCloseable {

  static final int SIZE = 40_000;
  static final String TOKEN = "A".repeat(24);
  private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d+)");

  final byte[] content = new byte[SIZE];
  final List<String> asked = new CopyOnWriteArrayList<>();
  final List<String> endpoints = new CopyOnWriteArrayList<>();
  volatile int failing;

  /** Answer nobody who has a wrong token, as a database does that hangs. */
  volatile boolean hanging;

  private final HttpServer http;

  PackageServer() throws IOException {
    new Random(7).nextBytes(content);
    http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    http.setExecutor(Executors.newCachedThreadPool());
    http.createContext("/", this::serve);
    http.start();
  }

  URI uri() {
    return URI.create("http://127.0.0.1:%d/".formatted(http.getAddress().getPort()));
  }

  @Override
  public void close() {
    hanging = false;
    http.stop(0);
  }

  private void serve(HttpExchange exchange) throws IOException {
    String range = exchange.getRequestHeaders().getFirst("Range");
    asked.add(exchange.getRequestURI() + " " + range);
    endpoints.add(String.valueOf(exchange.getRequestHeaders().getFirst("X-Endpoint")));
    Matcher found = RANGE.matcher(range);
    if (!found.matches()) {
      throw new AssertionError(range);
    }
    int start = Integer.parseInt(found.group(1));
    int end = Math.min(SIZE, Integer.parseInt(found.group(2)) + 1);
    if (failing > 0) {
      exchange.sendResponseHeaders(failing, -1);
    } else if (!exchange.getRequestURI().getPath().startsWith("/A")) {
      while (hanging) {
        LockSupport.parkNanos(100_000_000);
      }
      exchange.sendResponseHeaders(404, -1);
    } else if (start >= SIZE) {
      exchange.sendResponseHeaders(416, -1);
    } else {
      exchange
          .getResponseHeaders()
          .set("Content-Range", "bytes %d-%d/%d".formatted(start, end - 1, SIZE));
      exchange.getResponseHeaders().set("ETag", "\"" + "0123456789abcdef".repeat(4) + "\"");
      exchange.sendResponseHeaders(206, end - start);
      exchange.getResponseBody().write(content, start, end - start);
    }
    exchange.close();
  }
}
