package io.flownexus.leshan.simulator;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.eclipse.leshan.core.node.InvalidLwM2mPathException;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.util.NamedThreadFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Serves the control port, on the loopback interface only: to look at devices and steer them. */
final class Control implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Control.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int THREADS = 4;
  private static final long SEND_WAIT_S = 15;

  private final Fleet fleet;
  private final HttpServer server;
  private final ExecutorService threads;

  /** Listen; port 0 is any free one. */
  Control(Fleet fleet, int port) throws IOException {
    this.fleet = fleet;
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    threads = Executors.newFixedThreadPool(THREADS, new NamedThreadFactory("control-%d"));
    server.setExecutor(threads);
    server.createContext("/", this::handle);
    server.start();
  }

  int port() {
    return server.getAddress().getPort();
  }

  private void handle(HttpExchange http) throws IOException {
    Answer answer;
    try {
      answer = answer(http);
    } catch (Refusal e) {
      answer = new Answer(e.status, Map.of("error", e.getMessage()));
    } catch (IllegalArgumentException | InvalidLwM2mPathException e) {
      answer = new Answer(400, Map.of("error", String.valueOf(e.getMessage())));
    } catch (RuntimeException e) {
      LOG.error("{} {} failed", http.getRequestMethod(), http.getRequestURI(), e);
      answer = new Answer(500, Map.of("error", e.toString()));
    }
    byte[] body = JSON.writeValueAsBytes(answer.body);
    http.getResponseHeaders().set("Content-Type", "application/json");
    http.sendResponseHeaders(answer.status, body.length);
    http.getResponseBody().write(body);
    http.close();
  }

  private Answer answer(HttpExchange http) {
    List<String> path = new ArrayList<>();
    for (String part : http.getRequestURI().getRawPath().split("/")) {
      if (!part.isEmpty()) {
        path.add(URLDecoder.decode(part, StandardCharsets.UTF_8));
      }
    }
    if (path.equals(List.of("notify")) && http.getRequestMethod().equals("POST")) {
      String every = needed(query(http), "every");
      fleet.notifyEvery(GroupSpec.interval(every));
      return new Answer(200, Map.of("every", every));
    }
    if (path.isEmpty() || path.size() > 3 || !path.get(0).equals("devices")) {
      throw new Refusal(
          404, "try /devices, /devices/{ep}, /devices/{ep}/{action} or POST /notify?every=");
    }
    boolean acting = path.size() == 3;
    if (!http.getRequestMethod().equals(acting ? "POST" : "GET")) {
      throw new Refusal(405, acting ? "an action is a POST" : "devices are read by GET");
    }
    if (path.size() == 1) {
      return new Answer(200, fleet.all().stream().map(Device::summary).toList());
    }
    Device device =
        fleet
            .find(path.get(1))
            .orElseThrow(() -> new Refusal(404, "no device is called " + path.get(1)));
    return acting ? act(device, path.get(2), query(http)) : new Answer(200, device.details());
  }

  private static Answer act(Device device, String action, Map<String, String> query) {
    switch (action) {
      case "start" -> device.start();
      case "stop" -> device.stop();
      case "register" -> device.register();
      case "deregister" -> device.deregister();
      case "update" -> {
        if (!device.update()) {
          throw new Refusal(409, device.endpoint() + " is " + device.state());
        }
      }
      case "fail" -> device.fail(onOrOff(needed(query, "on")));
      case "slow" -> device.slow(Durations.parse(needed(query, "seconds")));
      case "set" -> device.set(new LwM2mPath(needed(query, "path")), needed(query, "value"));
      case "send" -> {
        return send(device, query);
      }
      default -> throw new Refusal(404, "no action is called " + action);
    }
    return new Answer(200, device.summary());
  }

  private static Answer send(Device device, Map<String, String> query) {
    List<LwM2mPath> paths = new ArrayList<>();
    for (String path : needed(query, "path").split(",")) {
      paths.add(new LwM2mPath(path));
    }
    int timestamps = Integer.parseInt(query.getOrDefault("timestamps", "0"));
    if (timestamps < 0 || timestamps > 1000) {
      throw new Refusal(400, "timestamps must be 0 to 1000");
    }
    try {
      String result = device.send(paths, timestamps).get(SEND_WAIT_S, TimeUnit.SECONDS);
      return new Answer(200, Map.of("ep", device.endpoint(), "result", result));
    } catch (IllegalStateException e) {
      throw new Refusal(409, e.getMessage());
    } catch (ExecutionException | TimeoutException e) {
      throw new Refusal(504, "the server did not take it: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new Refusal(503, "stopping");
    }
  }

  private static Map<String, String> query(HttpExchange http) {
    Map<String, String> query = new LinkedHashMap<>();
    String raw = http.getRequestURI().getRawQuery();
    for (String part : raw == null ? new String[0] : raw.split("&")) {
      int equals = part.indexOf('=');
      if (equals > 0) {
        query.merge(
            part.substring(0, equals),
            URLDecoder.decode(part.substring(equals + 1), StandardCharsets.UTF_8),
            (first, second) -> first + "," + second);
      }
    }
    return query;
  }

  private static String needed(Map<String, String> query, String name) {
    String value = query.get(name);
    if (value == null) {
      throw new Refusal(400, "the query needs " + name + "=");
    }
    return value;
  }

  private static boolean onOrOff(String text) {
    if (!text.equals("true") && !text.equals("false")) {
      throw new Refusal(400, "on= takes true or false");
    }
    return Boolean.parseBoolean(text);
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }

  private record Answer(int status, Object body) {}

  private static final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private final int status;

    Refusal(int status, String message) {
      super(message);
      this.status = status;
    }
  }
}
