package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The REST API where no device, a sleeping one or a slow one answers, and who may use it. */
class RestTest {

  @TempDir Path folder;
  TestServer server;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder, 100_000, Duration.ofMillis(700), null);
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void without_a_known_token_nobody_gets_in() throws Exception {
    for (String path : List.of("/api/clients", "/metrics", "/api/event", "/api/security/clients")) {
      assertEquals(401, status(HttpRequest.newBuilder(server.uri(path)), null), path);
      assertEquals(401, status(HttpRequest.newBuilder(server.uri(path)), "Bearer wrong"), path);
    }
    assertEquals(200, status(HttpRequest.newBuilder(server.uri("/metrics")), "Bearer older"));
    assertEquals(200, status(HttpRequest.newBuilder(server.uri("/healthz")), null));
  }

  @Test
  void unknown_device_bad_path_and_bad_body_are_told_apart() throws Exception {
    assertText(
        400, "No registered client with id 'nobody'", "GET", "/api/clients/nobody/3/0", null);
    try (TestDevice device = device("one")) {
      assertText(400, "Invalid path", "PUT", "/api/clients/one/3", "{}");
      assertText(400, "Invalid request: ", "GET", "/api/clients/one/not-a-path", null);
      assertText(400, "Invalid request: ", "PUT", "/api/clients/one/3/0/15", "{\"id\":15}");
      assertText(400, "Invalid request: not JSON", "PUT", "/api/clients/one/3/0/15", "{");
      assertText(400, "Invalid request: timeout", "GET", "/api/clients/one/3?timeout=NaN", null);
      assertText(400, "Invalid request: unknown", "GET", "/api/clients/one/3?format=XML", null);
      assertEquals("Europe/Berlin", device.device.zone);
    }
  }

  @Test
  void silent_device_is_504_after_the_given_time() throws Exception {
    TestDevice device = device("silent");
    device.vanish();
    long before = System.nanoTime();
    HttpResponse<String> answer = server.call("GET", "/api/clients/silent/3/0/9?timeout=0.5");
    assertEquals(504, answer.statusCode());
    assertEquals("Request timeout", answer.body());
    assertTrue(System.nanoTime() - before < 3_000_000_000L);
  }

  @Test
  void sleeping_device_is_delayed_and_nothing_is_sent() throws Exception {
    Security security = Security.noSec("coap://127.0.0.1:" + server.application.coapPort(), 1);
    try (TestDevice device = new TestDevice("sleeper", security, 300, true).start()) {
      JsonNode registered = server.awaitRegistration("sleeper", 0);
      assertEquals("UQ", registered.path("reg").path("binding").asText());
      assertEquals(
          "CONTENT(205)", server.json("GET", "/api/clients/sleeper/3/0/9").path("status").asText());
      WebhookReceiver.await(() -> sleeping("sleeper"));
      HttpResponse<String> answer = server.call("GET", "/api/clients/sleeper/3/0/9");
      assertEquals(200, answer.statusCode());
      assertTrue(answer.body().contains("\"delayed\":true"));
      assertEquals("true", answer.headers().firstValue("X-Request-Unsent").orElse(""));
      assertEquals(1, device.device.reads);
    }
  }

  @Test
  void slow_devices_need_no_thread_each() throws Exception {
    try (TestDevice device = device("slow")) {
      device.device.readDelayMillis = 50;
      List<CompletableFuture<HttpResponse<String>>> answers = new ArrayList<>();
      for (int i = 0; i < 60; i++) {
        HttpRequest request = server.request("/api/clients/slow/3/0/9?timeout=20").build();
        answers.add(server.http.sendAsync(request, BodyHandlers.ofString()));
      }
      assertTrue(httpThreads() <= 16, "threads");
      for (CompletableFuture<HttpResponse<String>> answer : answers) {
        assertTrue(answer.get().body().contains("\"success\":true"));
      }
    }
  }

  @Test
  void caller_that_goes_away_cancels_the_request() throws Exception {
    TestDevice device = device("gone");
    device.vanish();
    try (Socket caller = open("/api/clients/gone/3/0/9?timeout=60")) {
      WebhookReceiver.await(() -> metric("requests_open") == 1);
      assertTrue(caller.isConnected());
    }
    WebhookReceiver.await(() -> metric("requests_open") == 0);
  }

  @Test
  void second_request_on_the_same_connection_may_come_early() throws Exception {
    try (TestDevice device = device("early");
        Socket caller = open("/api/clients/early/3/0/9")) {
      device.device.readDelayMillis = 300;
      Thread.sleep(100);
      caller.getOutputStream().write(get("/healthz"));
      Thread.sleep(100);
      caller.getOutputStream().write(get("/api/clients/early/3/0/15", "close"));
      InputStream in = caller.getInputStream();
      String all = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(4, all.split("HTTP/1.1 200 OK", -1).length, all);
      assertTrue(all.indexOf("\"80\"") < all.indexOf("ok\n"), all);
      assertTrue(all.indexOf("ok\n") < all.indexOf("Europe/Berlin"), all);
    }
  }

  @Test
  void events_are_streamed() throws Exception {
    List<String> lines = new CopyOnWriteArrayList<>();
    HttpResponse<Stream<String>> stream =
        server.http.send(server.request("/api/event").build(), BodyHandlers.ofLines());
    CompletableFuture.runAsync(() -> stream.body().forEach(lines::add));
    try (TestDevice device = device("told")) {
      WebhookReceiver.await(() -> lines.contains("event: REGISTRATION"));
      server.json("POST", "/api/clients/told/3303/0/5700/observe");
      device.temperature.set(3.5);
      WebhookReceiver.await(() -> lines.contains("event: NOTIFICATION"));
    }
    WebhookReceiver.await(() -> lines.contains("event: DEREGISTRATION"));
    assertTrue(lines.stream().anyMatch(line -> line.contains("\"value\":\"3.5\"")));
  }

  private TestDevice device(String endpoint) throws InterruptedException {
    TestDevice device = TestDevice.plain(endpoint, server.application.coapPort()).start();
    server.awaitRegistration(endpoint, 0);
    return device;
  }

  private boolean sleeping(String endpoint) {
    try {
      return server.json("GET", "/api/clients/" + endpoint).path("sleeping").asBoolean();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private long metric(String name) {
    try {
      return server
          .call("GET", "/metrics")
          .body()
          .lines()
          .filter(line -> line.startsWith("flownexus_leshan_" + name + " "))
          .mapToLong(line -> Long.parseLong(line.substring(line.lastIndexOf(' ') + 1)))
          .sum();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private Socket open(String path) throws Exception {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.application.httpPort());
    socket.getOutputStream().write(get(path));
    return socket;
  }

  private static byte[] get(String path) {
    return get(path, "keep-alive");
  }

  private static byte[] get(String path, String connection) {
    return ("GET "
            + path
            + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer api-token\r\nConnection: "
            + connection
            + "\r\n\r\n")
        .getBytes(StandardCharsets.UTF_8);
  }

  private int status(HttpRequest.Builder request, String authorization) throws Exception {
    if (authorization != null) {
      request.header("Authorization", authorization);
    }
    return server.http.send(request.build(), BodyHandlers.discarding()).statusCode();
  }

  private void assertText(int status, String start, String method, String path, String body)
      throws Exception {
    HttpResponse<String> answer =
        server.call(method, path, body == null ? null : "application/json", body);
    assertEquals(status, answer.statusCode(), path);
    assertTrue(answer.body().startsWith(start), answer.body());
    assertEquals("true", answer.headers().firstValue("X-Request-Unsent").orElse(""));
  }

  private static long httpThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("http-"))
        .count();
  }
}
