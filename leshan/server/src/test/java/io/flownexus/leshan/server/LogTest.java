package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.joran.JoranConfigurator;
import ch.qos.logback.classic.util.LogbackMDCAdapter;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.WebhookReceiver.Post;
import io.flownexus.leshan.server.WebhookReceiver.Reply;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.Logger;

/** What the log is like, and what it tells of a request or a post that is followed by its id. */
class LogTest {

  private static final ObjectMapper MAPPER = new ObjectMapper();

  @TempDir Path folder;

  @Test
  void record_is_one_line_of_text_whatever_it_holds() throws Exception {
    String written = written("TEXT");
    assertEquals(1, written.lines().count(), written);
    assertTrue(
        written.matches(
            "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d[.]\\d{3}Z ERROR Test: a b c endpoint=\"x y\""
                + " java.lang.IllegalStateException: d e.* at .*f g.*\n"),
        written);
  }

  @Test
  void record_is_one_object_of_json_whatever_it_holds() throws Exception {
    String written = written("JSON");
    assertEquals(1, written.lines().count(), written);
    JsonNode line = MAPPER.readTree(written);
    assertNotNull(Instant.parse(line.path("time").asText()));
    assertEquals("ERROR", line.path("level").asText());
    assertEquals("io.flownexus.Test", line.path("logger").asText());
    assertEquals("a\nb\0c", line.path("message").asText());
    assertEquals("x\ny", line.path("endpoint").asText());
    assertTrue(line.path("exc_info").asText().contains("f\ng"), written);
    assertEquals(6, line.size(), written);
  }

  @Test
  void format_is_that_of_the_flag_or_of_the_environment() throws Exception {
    try (WebhookReceiver webhooks = new WebhookReceiver()) {
      try (ServerProcess server =
          new ServerProcess(folder, webhooks, Map.of("LOG_FORMAT", "json"), "--log-level=info")) {
        assertTrue(messages(server.log()).stream().anyMatch(line -> line.startsWith("ready: ")));
      }
    }
  }

  @Test
  void format_that_there_is_not_stops_the_start() throws Exception {
    try (WebhookReceiver webhooks = new WebhookReceiver()) {
      AssertionError error =
          assertThrows(
              AssertionError.class,
              () -> new ServerProcess(folder, webhooks, "--log-format=xml", "--log-level=info"));
      assertTrue(error.getMessage().contains("'--log-format'"), error::getMessage);
      assertTrue(error.getMessage().contains("'xml'"), error::getMessage);
    }
  }

  @Test
  void request_that_has_an_id_is_told_with_it_and_so_is_its_answer() throws Exception {
    try (TestServer server = new TestServer(folder);
        TestDevice device = TestDevice.plain("one", server.application.coapPort());
        CapturedLog log = new CapturedLog(Level.INFO)) {
      device.start();
      server.awaitRegistration("one", 0);
      HttpResponse<String> answer = get(server, "/api/clients/one/3/0/15?timeout=5", "operation-7");
      assertEquals(200, answer.statusCode());
      assertEquals("operation-7", answer.headers().firstValue("X-Correlation-ID").orElse(""));
      get(server, "/api/clients/nobody/3/0/15", "operation-8");
      List<String> lines = requests(log);
      String end = " endpoint=one correlation_id=operation-7";
      assertEquals("INFO GET /api/clients/one/3/0/15" + end, lines.get(0));
      assertTrue(
          lines.get(1).matches("INFO GET /api/clients/one/3/0/15 ended after \\d+ ms: ok" + end),
          lines::toString);
      assertTrue(
          lines.get(2).contains(": not-registered endpoint=nobody correlation_id=operation-8"),
          lines::toString);
      assertEquals(3, lines.size(), lines::toString);
    }
  }

  @Test
  void request_without_an_id_or_with_what_is_none_is_told_at_debug() throws Exception {
    try (TestServer server = new TestServer(folder)) {
      try (CapturedLog log = new CapturedLog(Level.INFO)) {
        server.call("GET", "/api/clients/nobody/3/0");
        HttpResponse<String> answer = get(server, "/api/clients/nobody/3/0", "a b\"}");
        assertFalse(answer.headers().firstValue("X-Correlation-ID").isPresent());
        get(server, "/api/clients/nobody/3/0", "x".repeat(129));
        assertEquals(List.of(), requests(log));
      }
      try (CapturedLog log = new CapturedLog(Level.DEBUG)) {
        server.call("GET", "/api/clients/nobody/3/0");
        assertEquals(1, requests(log).size());
      }
    }
  }

  @Test
  void post_has_an_id_that_its_lines_and_its_repetition_have_too() throws Exception {
    try (TestServer server = new TestServer(folder);
        TestDevice device = TestDevice.plain("one", server.application.coapPort());
        CapturedLog log = new CapturedLog(Level.DEBUG)) {
      server.webhooks.behave(
          post ->
              server.webhooks.posts().size() == 1
                  ? new Reply(503, "away", null)
                  : WebhookReceiver.stored(post));
      device.start();
      WebhookReceiver.await(() -> server.webhooks.posts().size() == 2);
      Post post = server.webhooks.posts().get(0);
      String id =
          "%s-registration-%d-%d"
              .formatted(
                  post.body().path("source").asText(),
                  post.body().path("lane").asInt(),
                  post.body().path("first_seq").asLong());
      assertEquals(id, post.correlationId());
      assertEquals(id, server.webhooks.posts().get(1).correlationId());
      String end = " correlation_id=" + id;
      WebhookReceiver.await(
          () -> log.lines().contains("DEBUG registration webhook: 1 items stored" + end));
      assertTrue(
          log.lines().stream()
              .anyMatch(
                  line -> line.matches("WARN registration webhook lane .*503 away; .*" + end)),
          log.lines()::toString);
      assertTrue(
          log.lines()
              .contains("DEBUG registration webhook: item posted" + end + " endpoint=one item=1"),
          log.lines()::toString);
    }
  }

  @Test
  void log_at_trace_holds_no_token() throws Exception {
    try (WebhookReceiver webhooks = new WebhookReceiver();
        ServerProcess server = new ServerProcess(folder, webhooks, "--log-level=trace");
        RawDevice device = new RawDevice("raw", server.coapPort)) {
      device.register(1);
      WebhookReceiver.await(() -> !webhooks.posts().isEmpty());
      server.call("GET", "/api/clients/raw/3/0?timeout=0.1");
      String log = server.log();
      assertTrue(log.contains("GET /api/clients/raw/3/0 "), log);
      assertTrue(log.contains("item posted"), log);
      assertFalse(log.contains("api-token") || log.contains("hook-token"), log);
    }
  }

  private static List<String> requests(CapturedLog log) {
    return log.lines().stream().filter(line -> line.contains(" GET /api/clients/")).toList();
  }

  private static List<String> messages(String log) {
    return log.lines().map(LogTest::message).toList();
  }

  private static String message(String line) {
    try {
      return MAPPER.readTree(line).path("message").asText();
    } catch (Exception e) {
      throw new AssertionError(line, e);
    }
  }

  private static HttpResponse<String> get(TestServer server, String path, String id)
      throws Exception {
    HttpRequest request = server.request(path).header("X-Correlation-ID", id).build();
    return server.http.send(request, BodyHandlers.ofString());
  }

  /** Return what a record with line breaks in all its parts becomes by the server's own setting. */
  private static String written(String format) throws Exception {
    PrintStream before = System.err;
    ByteArrayOutputStream written = new ByteArrayOutputStream();
    System.setErr(new PrintStream(written, true, StandardCharsets.UTF_8));
    LoggerContext context = new LoggerContext();
    try {
      context.putProperty("LOG_FORMAT", format);
      context.putProperty("LOG_LEVEL", "INFO");
      context.setMDCAdapter(new LogbackMDCAdapter());
      JoranConfigurator configurator = new JoranConfigurator();
      configurator.setContext(context);
      configurator.doConfigure(Main.class.getResource("/logback.xml"));
      Logger logger = context.getLogger("io.flownexus.Test");
      Exception error = new IllegalStateException("d\ne", new Exception("f\ng"));
      logger.atError().addKeyValue("endpoint", "x\ny").setCause(error).log("a\nb\0c");
    } finally {
      context.stop();
      System.setErr(before);
    }
    return written.toString(StandardCharsets.UTF_8);
  }
}
