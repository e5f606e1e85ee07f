package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.nio.file.Path;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A message whose answer was lost comes again, after as many others as CoAP lets a device send. */
class RepetitionTest {

  private static final long PATIENCE = 5000;
  private static final int OTHERS = 15; // in 45 s, one in 3 s

  @TempDir Path folder;
  TestServer server;
  RawDevice device;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder);
    device = new RawDevice("raw", server.application.coapPort());
    device.register(1);
  }

  @AfterEach
  void stop() {
    device.close();
    server.close();
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
    device.notify(100, 100);
    server.webhooks.await("/single", item -> item.at("/val/value").asDouble() == 100);
    List<Double> stored =
        server.webhooks.items("/single").stream()
            .map(item -> item.at("/val/value").asDouble())
            .toList();
    assertEquals(1, stored.stream().filter(value -> value == 2).count(), stored::toString);
  }

  private String location() throws InterruptedException {
    Response created = (Response) answer(1);
    assertEquals(ResponseCode.CREATED, created.getCode());
    return "/" + created.getOptions().getLocationPathString();
  }

  private Message answer(int mid) throws InterruptedException {
    Message answer = device.answer(mid, PATIENCE);
    assertNotNull(answer);
    return answer;
  }
}
