package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.Test;

/** A device of queue mode: when it counts as awake, and what is told of that. */
class SleepyDeviceTest extends RawDeviceFixture {

  private static final String QUEUE_MODE = "ep=raw&lt=300&lwm2m=1.1&b=U&Q";
  private static final int HEARD = 3;

  @Test
  void notification_of_a_sleeper_is_told_as_one_event_and_wakes_it() throws Exception {
    register(1);
    observe();
    awaitSleep();
    assertEquals("asleep", read().path("code").asText());
    for (int mid = 10; mid < 15; mid++) {
      device.notify(mid, mid);
      assertEquals(Type.ACK, answer(mid).getType());
    }
    server.awaitRegistration("raw", HEARD);
    assertEquals("CONTENT(205)", read().path("status").asText());
    server.webhooks.await("/single", item -> item.at("/val/value").asDouble() == 14);
    assertEquals(1, events(HEARD));
    awaitSleep();
    device.notify(20, 20);
    answer(20);
    WebhookReceiver.await(() -> events(HEARD) == 2);
  }

  @Test
  void send_of_a_sleeper_is_told_as_one_event_and_wakes_it() throws Exception {
    register(1);
    awaitSleep();
    for (int mid = 10; mid < 15; mid++) {
      device.send(mid, mid);
      assertEquals(ResponseCode.CHANGED, ((Response) answer(mid)).getCode());
    }
    server.awaitRegistration("raw", HEARD);
    assertEquals("CONTENT(205)", read().path("status").asText());
    server.webhooks.await(
        "/composite", item -> item.at("/val/~13303~10~15700/value").asDouble() == 14);
    assertEquals(1, events(HEARD));
  }

  @Test
  void notification_that_cannot_be_read_wakes_a_sleeper_too() throws Exception {
    register(1);
    observe();
    awaitSleep();
    device.notify(10, 10, 0, "no number".getBytes(StandardCharsets.UTF_8));
    answer(10);
    server.awaitRegistration("raw", HEARD);
    assertFalse(asleep());
  }

  @Test
  void what_an_awake_device_sends_is_no_event_and_keeps_it_awake() throws Exception {
    register(2);
    observe();
    long end = System.nanoTime() + 5_000_000_000L;
    int mid = 100;
    while (System.nanoTime() < end) {
      device.notify(mid, mid);
      assertEquals(Type.ACK, answer(mid++).getType());
      assertFalse(asleep());
    }
    assertEquals(1, server.webhooks.items("/registration").size());
    awaitSleep();
  }

  @Test
  void device_that_does_not_say_how_long_it_listens_does_so_as_a_request_says() throws Exception {
    device.register(1, QUEUE_MODE);
    answer(1);
    assertEquals("CONTENT(205)", read("?awake=1").path("status").asText());
    Thread.sleep(1200);
    assertEquals("asleep", read("?awake=1").path("code").asText());
    assertTrue(asleep());
    device.send(10, 10);
    answer(10);
    server.awaitRegistration("raw", HEARD);
    assertEquals("CONTENT(205)", read("?awake=1").path("status").asText());
  }

  @Test
  void request_counts_at_once_and_its_words_for_nothing_where_the_device_spoke() throws Exception {
    register(60);
    assertEquals("CONTENT(205)", read("?awake=1").path("status").asText());
    Thread.sleep(1200);
    assertEquals("CONTENT(205)", read("?awake=1").path("status").asText());
    assertEquals("bad-request", read("?awake=soon").path("code").asText());
  }

  @Test
  void registration_event_tells_how_long_the_device_listens() throws Exception {
    register(7);
    JsonNode own = server.awaitRegistration("raw", 0).path("reg");
    assertEquals(7, own.path("awake").asDouble());
    assertTrue(own.path("awake_told").asBoolean());
    device.register(2, "ep=other&lt=300&lwm2m=1.1&b=U&Q");
    answer(2);
    JsonNode usual = server.awaitRegistration("other", 0).path("reg");
    assertEquals(93, usual.path("awake").asDouble());
    assertFalse(usual.path("awake_told").asBoolean());
    device.register(3, "ep=listening&lt=300&lwm2m=1.1&b=U");
    answer(3);
    assertFalse(server.awaitRegistration("listening", 0).path("reg").has("awake"));
  }

  @Test
  void time_that_cannot_be_one_is_refused() throws Exception {
    int mid = 1;
    for (String wrong : List.of("0", "86401", "5s", "-1", "")) {
      device.register(mid, QUEUE_MODE + "&awake=" + wrong);
      Response refusal = (Response) answer(mid++);
      assertEquals(ResponseCode.BAD_REQUEST, refusal.getCode(), wrong);
      assertTrue(refusal.getPayloadString().startsWith("awake is a whole number of seconds"));
    }
  }

  @Test
  void device_without_queue_mode_that_did_not_answer_is_told_when_it_is_heard() throws Exception {
    register();
    observe();
    device.ignore(true);
    assertEquals("timeout", read("?timeout=0.3").path("code").asText());
    device.ignore(false);
    for (int mid = 10; mid < 15; mid++) {
      device.notify(mid, mid);
      assertEquals(Type.ACK, answer(mid).getType());
    }
    server.awaitRegistration("raw", HEARD);
    server.webhooks.await("/single", item -> item.at("/val/value").asDouble() == 14);
    assertEquals(1, events(HEARD));
  }

  private void register(int awake) throws Exception {
    device.register(1, QUEUE_MODE + "&awake=" + awake);
    assertEquals(ResponseCode.CREATED, ((Response) answer(1)).getCode());
  }

  private void observe() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
  }

  private JsonNode read() throws Exception {
    return read("");
  }

  private JsonNode read(String query) throws Exception {
    return server.json("GET", "/api/clients/raw/3303/0/5700" + query);
  }

  private void awaitSleep() throws Exception {
    WebhookReceiver.await(this::asleep);
  }

  private boolean asleep() {
    try {
      return server.json("GET", "/api/clients/raw").path("sleeping").asBoolean();
    } catch (IOException | InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private long events(int resource) {
    return server.webhooks.items("/registration").stream()
        .filter(item -> item.at("/val/id").asInt() == resource)
        .count();
  }
}
