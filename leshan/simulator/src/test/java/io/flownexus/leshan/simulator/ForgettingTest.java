package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a device does that sent a notification until CoAP gave it up (RFC 7641, 4.5). */
class ForgettingTest {
  private static final LwM2mPath TIMEZONE = new LwM2mPath("/3/0/15");

  @TempDir Path folder;

  @Test
  void a_device_forgets_who_leaves_a_notification_unanswered_and_stays_registered()
      throws Exception {
    try (TestServer server = new TestServer();
        Relay relay = new Relay(server.port(Protocol.COAP));
        Running running =
            new Running(folder, relay.uri(), "prefix=f-,notify=0,ack=20ms,lifetime=300")) {
      String registration = server.nextRegistration().getId();
      server.send("f-0001", new ObserveRequest(3, 0, 15), 10_000);
      giveUp(relay, running);

      assertTrue(running.device("f-0001").update());
      assertEquals(registration, TestServer.next(server.updated, "update").getId());
      assertEquals(0, observations(running));
      running.device("f-0001").set(TIMEZONE, "Asia/Seoul");
      assertEquals(0, server.notified.size());

      server.send("f-0001", new ObserveRequest(3, 0, 15), 10_000);
      running.device("f-0001").set(TIMEZONE, "Asia/Tokyo");
      TestServer.await(() -> server.notified.size() == 1, "a notification");
      assertEquals("Asia/Tokyo", server.notified.get(0).value());
      assertTrue(server.registered.isEmpty());
    }
  }

  @Test
  void a_device_that_renews_registers_anew_instead() throws Exception {
    try (TestServer server = new TestServer();
        Relay relay = new Relay(server.port(Protocol.COAP));
        Running running =
            new Running(folder, relay.uri(), "prefix=f-,notify=0,ack=20ms,lifetime=300,renews")) {
      String registration = server.nextRegistration().getId();
      server.send("f-0001", new ObserveRequest(3, 0, 15), 10_000);
      giveUp(relay, running);

      assertTrue(!registration.equals(server.nextRegistration().getId()));
    }
  }

  private static void giveUp(Relay relay, Running running) throws Exception {
    assertEquals(1, observations(running));
    relay.drop(true);
    running.device("f-0001").set(TIMEZONE, "Europe/Paris");
    TestServer.await(() -> !running.unacknowledged().isEmpty(), "the device to give up");
    assertEquals("timed out", running.unacknowledged().get(0).get("ended").asText());
    relay.drop(false);
  }

  private static int observations(Running running) throws Exception {
    return running.details("f-0001").get("observations").asInt();
  }
}
