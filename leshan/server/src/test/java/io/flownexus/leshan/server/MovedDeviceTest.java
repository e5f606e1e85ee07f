package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A device over plain CoAP whose address changes, as behind every NAT that forgets. */
class MovedDeviceTest extends RawDeviceFixture {

  private static final long SILENCE = 700;

  String registration;

  @BeforeEach
  void start() throws Exception {
    register();
    registration = server.json("GET", "/api/clients/raw").path("registrationId").asText();
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    device.notify(2, 2);
    assertEquals(Type.ACK, answer(2).getType());
  }

  @Test
  void notifications_go_on_after_the_update_from_the_new_address() throws Exception {
    device.move();
    device.update(3, registration);
    assertEquals(ResponseCode.CHANGED, ((Response) answer(3)).getCode());
    device.notify(4, 4);
    assertEquals(Type.ACK, answer(4).getType());
    assertEquals(List.of(2.0, 4.0), stored(4));
  }

  @Test
  void notification_before_the_update_is_not_answered_and_comes_again_after_it() throws Exception {
    device.move();
    device.notify(3, 3);
    assertNull(device.answer(3, SILENCE));
    device.notify(3, 3);
    assertNull(device.answer(3, SILENCE));
    assertEquals(2, moved());
    device.update(4, registration);
    assertEquals(ResponseCode.CHANGED, ((Response) answer(4)).getCode());
    for (int repeat = 0; repeat < 2; repeat++) {
      device.notify(3, 3);
      assertEquals(Type.ACK, answer(3).getType());
    }
    device.notify(5, 5);
    assertEquals(Type.ACK, answer(5).getType());
    assertEquals(List.of(2.0, 3.0, 5.0), stored(5));
  }

  @Test
  void notification_of_an_observation_that_there_is_not_is_still_rejected() throws Exception {
    server.call("DELETE", "/api/clients/raw/3303/0/5700/observe");
    device.move();
    device.notify(3, 3);
    assertEquals(Type.RST, answer(3).getType());
  }

  private List<Double> stored(double last) throws Exception {
    server.webhooks.await("/single", item -> item.at("/val/value").asDouble() == last);
    return server.webhooks.items("/single").stream()
        .map(item -> item.at("/val/value").asDouble())
        .filter(value -> value != 1.5) // the answer to the observation
        .toList();
  }

  private long moved() {
    return server.metric("moved_notifications_total");
  }
}
