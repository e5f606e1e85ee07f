package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The REST API where no device, a sleeping one or a slow one answers, and who may use it. */
class RestTest {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final Map<String, Integer> STATUS_OF_CODE =
      Map.of(
          "not-registered", 400,
          "bad-request", 400,
          "unauthorized", 401,
          "forbidden", 403,
          "not-found", 404,
          "method-not-allowed", 405,
          "too-large", 413,
          "cancelled", 500,
          "rejected", 500,
          "timeout", 504);

  @TempDir Path folder;
  TestServer server;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder, 1 << 30, Duration.ofMillis(700), null);
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void without_a_known_token_nobody_gets_in() throws Exception {
    for (String path :
        List.of("/api/clients", "/api/event", "/api/objectspecs/one", "/api/security/clients")) {
      assertEquals(401, status(HttpRequest.newBuilder(server.uri(path)), null), path);
      assertEquals(401, status(HttpRequest.newBuilder(server.uri(path)), "Bearer wrong"), path);
    }
    assertEquals(200, status(HttpRequest.newBuilder(server.uri("/api/clients")), "Bearer older"));
    assertEquals(200, status(HttpRequest.newBuilder(server.uri("/healthz")), null));
  }

  @Test
  void unknown_device_bad_path_and_bad_body_are_told_apart() throws Exception {
    assertError(
        "not-registered",
        "No registered client with id 'nobody'",
        "GET",
        "/api/clients/nobody/3/0",
        null);
    try (TestDevice device = device("one")) {
      assertError("bad-request", "Invalid path", "PUT", "/api/clients/one/3", "{}");
      assertError("bad-request", "Invalid request: ", "GET", "/api/clients/one/not-a-path", null);
      assertError(
          "bad-request", "Invalid request: ", "PUT", "/api/clients/one/3/0/15", "{\"id\":15}");
      assertError(
          "bad-request", "Invalid request: not JSON", "PUT", "/api/clients/one/3/0/15", "{");
      assertError(
          "bad-request", "Invalid request: timeout", "GET", "/api/clients/one/3?timeout=NaN", null);
      assertError(
          "bad-request", "Invalid request: unknown", "GET", "/api/clients/one/3?format=XML", null);
      assertEquals("Europe/Berlin", device.device.zone);
    }
  }

  @Test
  void every_error_is_json_with_a_code() throws Exception {
    HttpResponse<String> unauthorized =
        server.http.send(
            HttpRequest.newBuilder(server.uri("/api/clients")).build(), BodyHandlers.ofString());
    assertError("unauthorized", unauthorized);
    assertError("not-found", server.call("GET", "/no/such/page"));
    assertError("method-not-allowed", server.call("POST", "/healthz"));
    assertError("bad-request", server.call("GET", "/api/security/nothing"));
    assertError("bad-request", server.call("PUT", "/api/security/clients", null, "{"));
    assertError(
        "too-large", server.call("PUT", "/api/security/clients", null, "x".repeat((4 << 20) + 1)));
    TestDevice device = device("one");
    assertError("not-found", server.call("DELETE", "/api/clients/one/3303/0/5700/observe?active"));
    assertError("method-not-allowed", server.call("PATCH", "/api/clients/one/3/0"));
    device.close();
  }

  @Test
  void head_that_the_http_server_refuses_is_answered_alike() throws Exception {
    try (Socket caller =
        new Socket(InetAddress.getLoopbackAddress(), server.application.httpPort())) {
      caller.getOutputStream().write("GET / HTTP/1.1\r\n\r\n".getBytes(StandardCharsets.UTF_8));
      String answer = new String(caller.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertTrue(answer.startsWith("HTTP/1.1 400 "), answer);
      assertTrue(answer.contains("{\"code\":\"bad-request\",\"message\":\""), answer);
    }
  }

  @Test
  void request_to_a_device_that_registers_anew_is_cancelled() throws Exception {
    TestDevice device = device("anew");
    device.vanish();
    CompletableFuture<HttpResponse<String>> answer =
        server.http.sendAsync(
            server.request("/api/clients/anew/3/0/9?timeout=20").build(), BodyHandlers.ofString());
    WebhookReceiver.await(() -> server.metric("open_requests") == 1);
    TestDevice again = device("anew");
    assertError("cancelled", answer.get(10, TimeUnit.SECONDS));
    again.close();
  }

  @Test
  void keys_are_told_only_to_a_token_that_may_and_asks_for_them() throws Exception {
    String entry =
        "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"i\",\"key\":\"00ff\"}}}";
    String path = "/api/security/clients";
    assertEquals(200, server.call("PUT", path, "application/json", entry).statusCode());
    String open =
        "[{\"endpoint\":\"a\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"i\"}}}]";
    assertEquals(open, server.call("GET", path).body());
    assertError("forbidden", server.call("GET", path + "?secrets=true"));
    HttpRequest.Builder plain = HttpRequest.newBuilder(server.uri(path));
    HttpRequest.Builder full = HttpRequest.newBuilder(server.uri(path + "?secrets=true"));
    for (HttpRequest.Builder each : List.of(plain, full)) {
      each.header("Authorization", "Bearer secrets-token");
    }
    assertEquals(open, server.http.send(plain.build(), BodyHandlers.ofString()).body());
    assertEquals("[" + entry + "]", server.http.send(full.build(), BodyHandlers.ofString()).body());
  }

  @Test
  void silent_device_is_504_after_the_given_time() throws Exception {
    TestDevice device = device("silent");
    device.vanish();
    long before = System.nanoTime();
    HttpResponse<String> answer = server.call("GET", "/api/clients/silent/3/0/9?timeout=0.5");
    assertEquals(504, answer.statusCode());
    assertEquals("{\"code\":\"timeout\",\"message\":\"Request timeout\"}", answer.body());
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
      assertTrue(answer.body().contains("\"code\":\"asleep\""));
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
      WebhookReceiver.await(() -> server.metric("open_requests") == 1);
      assertTrue(caller.isConnected());
    }
    WebhookReceiver.await(() -> server.metric("open_requests") == 0);
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

  @Test
  void coap_messages_of_one_device_are_streamed_to_who_asks_for_it() throws Exception {
    List<String> mine = new CopyOnWriteArrayList<>();
    List<String> all = new CopyOnWriteArrayList<>();
    try (TestDevice device = device("one");
        TestDevice other = device("other")) {
      stream("/api/event?ep=one", mine);
      stream("/api/event", all);
      device.temperature.set(2.5);
      other.temperature.set(3.5);
      server.json("GET", "/api/clients/other/3303/0/5701");
      assertEquals(
          "Cel", server.json("GET", "/api/clients/one/3303/0/5701").at("/content/value").asText());
      WebhookReceiver.await(() -> mine.stream().filter("event: COAPLOG"::equals).count() >= 2);
    }
    List<JsonNode> messages = new ArrayList<>();
    for (int i = 0; i < mine.size(); i++) {
      if (mine.get(i).equals("event: COAPLOG")) {
        messages.add(MAPPER.readTree(mine.get(i + 1).substring("data: ".length())));
      }
    }
    JsonNode request = messages.get(0);
    JsonNode answer = messages.get(1);
    assertEquals("GET", request.path("code").asText());
    assertEquals("CON", request.path("type").asText());
    assertFalse(request.path("incoming").asBoolean());
    assertTrue(request.path("options").asText().contains("Uri-Path"), request.toString());
    assertEquals("2.05", answer.path("code").asText());
    assertTrue(answer.path("incoming").asBoolean());
    assertEquals(request.path("token"), answer.path("token"));
    assertTrue(messages.stream().allMatch(message -> message.path("ep").asText().equals("one")));
    assertFalse(all.contains("event: COAPLOG"));
  }

  @Test
  void object_specs_of_a_device_are_those_of_its_objects() throws Exception {
    try (TestDevice device = device("one")) {
      device.temperature.set(2.5);
      JsonNode specs = server.json("GET", "/api/objectspecs/one");
      assertEquals(
          List.of(1, 3, 3303), specs.valueStream().map(each -> each.path("id").asInt()).toList());
      JsonNode temperature = specs.get(2);
      assertEquals("multiple", temperature.path("instancetype").asText());
      JsonNode value =
          temperature
              .path("resourcedefs")
              .valueStream()
              .filter(each -> each.path("id").asInt() == 5700)
              .findFirst()
              .orElseThrow();
      assertEquals("float", value.path("type").asText());
      assertEquals("R", value.path("operations").asText());
    }
    assertError("not-registered", server.call("GET", "/api/objectspecs/nobody"));
    assertError("bad-request", server.call("GET", "/api/objectspecs"));
  }

  private void stream(String path, List<String> lines) throws Exception {
    HttpResponse<Stream<String>> events =
        server.http.send(server.request(path).build(), BodyHandlers.ofLines());
    Thread reader = new Thread(() -> events.body().forEach(lines::add));
    reader.setDaemon(true);
    reader.start();
  }

  private boolean sleeping(String endpoint) {
    try {
      return server.json("GET", "/api/clients/" + endpoint).path("sleeping").asBoolean();
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

  private void assertError(String code, String start, String method, String path, String body)
      throws Exception {
    HttpResponse<String> answer =
        server.call(method, path, body == null ? null : "application/json", body);
    assertError(code, answer);
    String message = MAPPER.readTree(answer.body()).path("message").asText();
    assertTrue(message.startsWith(start), message);
    assertEquals("true", answer.headers().firstValue("X-Request-Unsent").orElse(""));
  }

  private static void assertError(String code, HttpResponse<String> answer) throws Exception {
    String what = answer.statusCode() + " " + answer.body();
    assertEquals("application/json", answer.headers().firstValue("Content-Type").orElse(""), what);
    JsonNode json = MAPPER.readTree(answer.body());
    assertEquals(code, json.path("code").asText(), what);
    assertFalse(json.path("message").asText().isEmpty(), what);
    assertEquals(STATUS_OF_CODE.get(code), answer.statusCode(), what);
  }

  private static long httpThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("http-"))
        .count();
  }
}
