package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the answers to observing tell, and in which order notifications count. */
class ObservationTest extends RawDeviceFixture {

  private static final String OBSERVE = "/api/clients/raw/3303/0/5700/observe?format=TEXT";
  private static final int TEXT = 0;
  private static final int SENML_JSON = 110;
  private static final String HISTORY =
      "[{\"bn\":\"/3303/0/5700\",\"bt\":1700000000.5,\"v\":21.5},"
          + "{\"t\":1,\"v\":22.5},{\"t\":2,\"v\":23.5}]";

  @BeforeEach
  void start() throws Exception {
    register();
  }

  @Test
  void answer_tells_when_it_came_in_and_that_the_device_notifies() throws Exception {
    long before = System.currentTimeMillis();
    JsonNode answer = server.json("POST", OBSERVE);
    assertTrue(answer.path("observed").asBoolean(), answer::toString);
    long told = answer.path("time").asLong();
    // Receipts are told apart by another clock, which may be 20 ms off.
    assertTrue(told >= before - 25, () -> told + " is before " + before);
    long notified = notified(2, 1, "3.5").path("ts").asLong();
    assertTrue(notified >= told, () -> notified + " is before " + told);
    device.answerWith(-1, TEXT, "2.5".getBytes(StandardCharsets.UTF_8));
    JsonNode read = server.json("GET", "/api/clients/raw/3303/0/5700?format=TEXT");
    assertFalse(read.has("observed"), read::toString);
    assertTrue(read.path("time").asLong() >= notified, read::toString);
  }

  @Test
  void answer_that_comes_twice_is_no_notification() throws Exception {
    device.answerTwice();
    assertEquals("1.5", server.json("POST", OBSERVE).at("/content/value").asText());
    Thread.sleep(300);
    notified(2, 7, "7.5");
    assertEquals(1, server.webhooks.items("/single").size());
    assertEquals(1, server.metric("notifications_total"));
  }

  @Test
  void answer_without_the_observe_option_tells_that_the_device_does_not_notify() throws Exception {
    device.answerWith(-1, TEXT, "2.5".getBytes(StandardCharsets.UTF_8));
    JsonNode answer = server.json("POST", OBSERVE);
    assertTrue(answer.path("success").asBoolean(), answer::toString);
    assertFalse(answer.path("observed").asBoolean(true), answer::toString);
    assertEquals("2.5", answer.at("/content/value").asText());
    assertEquals(
        404, server.call("DELETE", "/api/clients/raw/3303/0/5700/observe?active").statusCode());
  }

  @Test
  void answer_that_is_a_history_keeps_every_value_and_the_device_notifies() throws Exception {
    device.answerWith(0, SENML_JSON, HISTORY.getBytes(StandardCharsets.UTF_8));
    JsonNode answer = server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=SENML_JSON");
    assertTrue(answer.path("observed").asBoolean(), answer::toString);
    assertEquals("23.5", answer.at("/content/value").asText());
    assertEquals(1_700_000_002_500L, answer.path("timestamp").asLong());
    assertEquals(2, answer.path("history").size(), answer::toString);
    assertEquals("21.5", answer.at("/history/0/content/value").asText());
    assertEquals(1_700_000_000_500L, answer.at("/history/0/timestamp").asLong());
    assertEquals("22.5", answer.at("/history/1/content/value").asText());
    device.notify(2, 1, SENML_JSON, HISTORY.getBytes(StandardCharsets.UTF_8));
    assertEquals(Type.ACK, device.answer(2, 5000).getType());
    WebhookReceiver.await(() -> server.webhooks.items("/single").size() == 3);
    device.answerWith(-1, SENML_JSON, HISTORY.getBytes(StandardCharsets.UTF_8));
    JsonNode read = server.json("GET", "/api/clients/raw/3303/0/5700?format=SENML_JSON");
    assertEquals(2, read.path("history").size(), read::toString);
  }

  @Test
  void composite_answer_that_is_a_history_keeps_every_value() throws Exception {
    device.answerWith(0, SENML_JSON, HISTORY.getBytes(StandardCharsets.UTF_8));
    String composite = "composite?paths=/3303/0/5700&pathformat=SENML_JSON&nodeformat=SENML_JSON";
    JsonNode read = server.json("GET", "/api/clients/raw/" + composite);
    assertEquals("23.5", read.at("/content/~13303~10~15700/value").asText(), read::toString);
    assertEquals("21.5", read.at("/history/0/content/~13303~10~15700/value").asText());
    assertEquals(1_700_000_001_500L, read.at("/history/1/timestamp").asLong());
  }

  @Test
  void notification_that_was_overtaken_is_posted_with_a_time_before_the_newer_one()
      throws Exception {
    server.json("POST", OBSERVE);
    long newer = notified(2, 7, "7.5").path("ts").asLong();
    assertEquals(newer - 1, notified(3, 6, "6.5").path("ts").asLong());
    assertTrue(notified(4, 8, "8.5").path("ts").asLong() >= newer);
  }

  private JsonNode notified(int mid, int number, String value) throws Exception {
    device.notify(mid, number, TEXT, value.getBytes(StandardCharsets.UTF_8));
    Message answer = device.answer(mid, 5000);
    assertNotNull(answer);
    assertEquals(Type.ACK, answer.getType());
    return server.webhooks.await("/single", item -> item.at("/val/value").asText().equals(value));
  }
}
