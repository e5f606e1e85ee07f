package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.WebhookReceiver.Reply;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.response.SendResponse;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Devices keep their data while the functions are away and the spool is full. */
class FullSpoolTest {

  private static final int BOUND = 3;
  private static final long BOUND_BYTES = 400; // which three of these items are the first to reach

  @TempDir Path folder;
  TestServer server;
  TestDevice device;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder, BOUND_BYTES, Duration.ofSeconds(93), null);
    device = TestDevice.plain("one", server.application.coapPort()).start();
    server.awaitRegistration("one", 0);
    device.confirm(3303);
    assertTrue(
        server.json("POST", "/api/clients/one/3303/0/5700/observe").path("success").asBoolean());
    server.webhooks.behave(post -> new Reply(503, "", null));
    for (int i = 1; i <= BOUND; i++) {
      device.temperature.set(i);
      int pending = i;
      WebhookReceiver.await(() -> server.metric("spool_pending_items") == pending);
    }
  }

  @AfterEach
  void stop() {
    server.webhooks.behave(WebhookReceiver::stored);
    device.close();
    server.close();
  }

  @Test
  void notification_is_not_acknowledged_and_comes_again() throws Exception {
    device.temperature.set(77.5);
    WebhookReceiver.await(
        () -> server.metric("refused_messages_total{what=\"notification\"}") >= 2);
    assertEquals(BOUND, server.metric("spool_pending_items"));
    server.webhooks.behave(WebhookReceiver::stored);
    server.webhooks.await("/single", item -> item.at("/val/value").asText().equals("77.5"));
    device.temperature.set(78.5);
    JsonNode next =
        server.webhooks.await("/single", item -> item.at("/val/value").asText().equals("78.5"));
    assertEquals("one", next.path("ep").asText());
  }

  @Test
  void send_is_answered_5_03() throws Exception {
    SendResponse refused = send();
    assertEquals(503, refused.getCode().getCode());
    server.webhooks.behave(WebhookReceiver::stored);
    WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
    assertTrue(send().isSuccess());
    server.webhooks.await("/composite", item -> item.path("val").has("/3303/0/5700"));
  }

  @Test
  void registration_is_answered_5_03_and_comes_again() throws Exception {
    try (TestDevice late = TestDevice.plain("late", server.application.coapPort()).start()) {
      WebhookReceiver.await(() -> server.metric("refused_messages_total{what=\"request\"}") >= 1);
      assertTrue(late.client.getRegisteredServers().isEmpty());
      assertFalse(server.call("GET", "/api/clients").body().contains("late"));
      server.webhooks.behave(WebhookReceiver::stored);
      server.awaitRegistration("late", 0);
    }
  }

  private SendResponse send() throws InterruptedException {
    return device
        .client
        .getSendService()
        .sendData(device.server(), ContentFormat.SENML_JSON, List.of("/3303/0/5700"), 5000);
  }
}
