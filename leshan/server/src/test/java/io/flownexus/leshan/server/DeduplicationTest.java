package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A message whose answer was lost comes again, after many others. */
class DeduplicationTest extends RawDeviceFixture {

  private static final int OTHERS = 255; // of the 256 that are remembered

  @BeforeEach
  void start() throws Exception {
    device.register(1);
  }

  @Test
  void registration_that_comes_again_is_answered_as_before_and_registers_nothing()
      throws Exception {
    String location = location();
    for (int mid = 2; mid < 2 + OTHERS; mid++) {
      device.send(mid, mid);
      assertEquals(ResponseCode.CHANGED, ((Response) answer(mid)).getCode());
    }
    device.register(1);
    assertEquals(location, location());
    assertEquals(
        location, "/rd/" + server.json("GET", "/api/clients/raw").path("registrationId").asText());
  }

  @Test
  void notification_that_comes_again_is_acknowledged_and_stored_once() throws Exception {
    location();
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    for (int mid = 2; mid < 3 + OTHERS; mid++) {
      device.notify(mid, mid);
      assertEquals(Type.ACK, answer(mid).getType());
    }
    device.notify(2, 2);
    assertEquals(Type.ACK, answer(2).getType());
    device.notify(1000, 1000);
    server.webhooks.await("/single", item -> item.at("/val/value").asDouble() == 1000);
    List<Double> stored =
        server.webhooks.items("/single").stream()
            .map(item -> item.at("/val/value").asDouble())
            .toList();
    assertEquals(1, stored.stream().filter(value -> value == 2).count(), stored::toString);
  }

  @Test
  void send_that_comes_again_is_answered_and_stored_once() throws Exception {
    location();
    device.send(2, 2);
    assertEquals(ResponseCode.CHANGED, ((Response) answer(2)).getCode());
    device.send(2, 2);
    assertEquals(ResponseCode.CHANGED, ((Response) answer(2)).getCode());
    device.send(3, 3);
    assertEquals(ResponseCode.CHANGED, ((Response) answer(3)).getCode());
    server.webhooks.await("/composite", item -> item.toString().contains("\"3.0\""));
    assertEquals(2, server.webhooks.items("/composite").size());
  }

  @Test
  void refused_request_leaves_nothing_behind() throws Exception {
    location();
    assertEquals(1, server.metric("remembered_peers{protocol=\"coap\"}"));
    try (RawDevice unregistered = new RawDevice("unregistered", server.application.coapPort())) {
      for (int mid = 1; mid < 40; mid++) {
        unregistered.send(mid, 1);
        assertTrue(((Response) unregistered.answer(mid, PATIENCE)).isError());
      }
    }
    assertEquals(1, server.metric("remembered_peers{protocol=\"coap\"}"));
  }

  private String location() throws InterruptedException {
    Response created = (Response) answer(1);
    assertEquals(ResponseCode.CREATED, created.getCode());
    return "/" + created.getOptions().getLocationPathString();
  }
}
