package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.WebhookReceiver.Reply;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.PlainCoap;
import io.flownexus.leshan.server.spool.DiskSpool;
import io.flownexus.leshan.server.spool.Journal;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What /healthz says of the whole server. */
class HealthTest {

  private static final int LANES = 4; // of the test server

  @TempDir Path folder;

  @Test
  void functions_that_are_away_are_no_reason_to_start_anew() throws Exception {
    try (TestServer server = server()) {
      server.webhooks.behave(post -> new Reply(503, "", null));
      TestDevice device = TestDevice.plain("one", server.application.coapPort()).start();
      WebhookReceiver.await(() -> server.webhooks.posts().size() > 3);
      HttpResponse<String> health = server.call("GET", "/healthz");
      assertEquals(200, health.statusCode(), health::body);
      device.close();
      server.webhooks.behave(WebhookReceiver::stored);
    }
  }

  @Test
  void spool_whose_thread_has_ended_is_told() throws Exception {
    try (TestServer server = server()) {
      assertEquals(200, server.call("GET", "/healthz").statusCode());
      Thread.getAllStackTraces().keySet().stream()
          .filter(thread -> thread.getName().equals("journal"))
          .forEach(Thread::interrupt);
      HttpResponse<String> health = awaitUnhealthy(server);
      assertEquals("the spool's thread has ended: see the log\n", health.body());
    }
  }

  @Test
  void lane_that_has_stopped_is_told() throws Exception {
    Lane lane = Lane.of(WebhookKind.SINGLE, "ep", LANES);
    Metrics metrics = new Metrics();
    try (Journal journal = new Journal(folder.resolve("spool.db"), metrics)) {
      DiskSpool spool = new DiskSpool(journal, LANES, 1 << 20, metrics);
      journal.start();
      for (int i = 0; i < 3; i++) {
        byte[] json = "{\"ep\":\"ep\"}".getBytes(StandardCharsets.UTF_8);
        spool
            .append(List.of(new Item(WebhookKind.SINGLE, "ep", json)), null)
            .toCompletableFuture()
            .get();
      }
      spool.close();
    }
    try (Connection connection =
            DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
        Statement statement = connection.createStatement()) {
      assertEquals(1, statement.executeUpdate("DELETE FROM chunk WHERE first_seq = 2"));
    }
    try (TestServer server = server()) {
      HttpResponse<String> health = awaitUnhealthy(server);
      assertEquals(
          "posting of single lane %d fails: see the log\n".formatted(lane.number()), health.body());
      assertTrue(server.webhooks.items("/single").isEmpty());
    }
  }

  private TestServer server() throws Exception {
    return new TestServer(folder, PlainCoap.ANY, folder.resolve("spool.db"));
  }

  private static HttpResponse<String> awaitUnhealthy(TestServer server) throws Exception {
    WebhookReceiver.await(() -> status(server) == 503);
    return server.call("GET", "/healthz");
  }

  private static int status(TestServer server) {
    try {
      return server.call("GET", "/healthz").statusCode();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }
}
