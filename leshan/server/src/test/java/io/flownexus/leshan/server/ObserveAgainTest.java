package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Set;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ObserveAgainTest {

  private static final long PATIENCE = 5000;
  private static final String OBSERVE = "/api/clients/raw/3303/0/5700/observe?format=TEXT";

  @TempDir Path folder;

  @Test
  void path_that_is_observed_again_keeps_its_token_and_its_one_observation() throws Exception {
    try (TestServer server = new TestServer(folder);
        RawDevice device = new RawDevice("raw", server.application.coapPort())) {
      device.register(1);
      server.awaitRegistration("raw", 0);
      for (int i = 0; i < 3; i++) {
        assertTrue(server.json("POST", OBSERVE).path("success").asBoolean());
      }
      assertEquals(3, device.observes.size());
      assertEquals(1, Set.copyOf(device.observes).size(), device.observes::toString);
      device.notify(10, 20.5);
      assertEquals(Type.ACK, device.answer(10, PATIENCE).getType());
      server.webhooks.await("/single", item -> item.at("/val/value").asText().equals("20.5"));

      assertEquals(200, server.call("DELETE", "/api/clients/raw/3303/0/5700/observe").statusCode());
      device.notify(11, 21.5);
      assertEquals(Type.RST, device.answer(11, PATIENCE).getType());
    }
  }
}
