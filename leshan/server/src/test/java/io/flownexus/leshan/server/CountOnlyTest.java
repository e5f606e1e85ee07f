package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The server that a benchmark compares with. */
class CountOnlyTest {

  @TempDir Path folder;

  @Test
  void notifications_are_acknowledged_counted_and_posted_nowhere() throws Exception {
    try (WebhookReceiver webhooks = new WebhookReceiver();
        ServerProcess server = new ServerProcess(folder, webhooks, "--count-only");
        RawDevice device = new RawDevice("raw", server.coapPort)) {
      device.register(1);
      assertNotNull(device.answer(1, 5000));
      server.call("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
      for (int mid = 2; mid < 12; mid++) {
        device.notify(mid, mid);
        assertEquals(Type.ACK, device.answer(mid, 5000).getType());
      }
      assertEquals(10, server.metric("notifications_total"));
      assertEquals(11, server.metric("spool_counted_items_total")); // and the registration
      assertTrue(webhooks.posts().isEmpty());
    }
  }
}
