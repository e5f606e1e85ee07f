package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NotificationTest {
  @TempDir Path folder;

  @Test
  void the_ledger_holds_the_acknowledged_values_and_no_others() throws Exception {
    List<Double> received = new ArrayList<>();
    List<Double> acknowledged = new ArrayList<>();
    TestServer server = new TestServer();
    try (Running running =
        new Running(folder, server.uri(Protocol.COAP), "prefix=n-,notify=20ms")) {
      server.nextRegistration();
      server.send("n-0001", new ObserveRequest(3303, 0, 5700), 10_000);
      TestServer.await(() -> server.notified.size() >= 20, "20 notifications");
      server.close();
      Thread.sleep(500);

      server.notified.forEach(each -> received.add((Double) each.value()));
      for (JsonNode line : running.ledger()) {
        assertEquals("n-0001", line.get("ep").asText());
        assertEquals("/3303/0/5700", line.get("path").asText());
        assertTrue(line.get("mid").isInt());
        acknowledged.add(line.get("value").asDouble());
      }
    }
    assertTrue(acknowledged.size() >= 19, acknowledged.size() + " acknowledged");
    assertEquals(received.subList(0, acknowledged.size()), acknowledged);
    assertEquals(received.size(), new HashSet<>(received).size(), "each value is unlike others");
  }

  @Test
  void a_device_waits_for_the_acknowledgement_before_its_next_value() throws Exception {
    TestServer server = new TestServer();
    try (Running running =
        new Running(folder, server.uri(Protocol.COAP), "prefix=n-,notify=20ms")) {
      server.nextRegistration();
      server.send("n-0001", new ObserveRequest(3303, 0, 5700), 10_000);
      TestServer.await(() -> server.notified.size() >= 5, "5 notifications");
      server.close();
      Thread.sleep(500);
      JsonNode waiting = running.details("n-0001").get("values").get("/3303/0/5700");
      Thread.sleep(500);
      assertEquals(waiting, running.details("n-0001").get("values").get("/3303/0/5700"));
      assertTrue(running.unacknowledged().isEmpty(), "it is still being sent");

      running.device("n-0001").stop();
      TestServer.await(() -> !running.unacknowledged().isEmpty(), "a line for it");

      JsonNode line = running.unacknowledged().get(0);
      assertEquals(1, running.unacknowledged().size());
      assertEquals("/3303/0/5700", line.get("path").asText());
      assertEquals(waiting, line.get("value"));
      assertEquals("the device was turned off", line.get("ended").asText());
      assertTrue(running.ledger().stream().noneMatch(each -> each.get("value").equals(waiting)));
    }
  }

  @Test
  void notifies_as_fast_as_it_is_acknowledged() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(folder, server.uri(Protocol.COAP), "prefix=n-,count=5,notify=max")) {
      for (int i = 0; i < 5; i++) {
        String endpoint = server.nextRegistration().getEndpoint();
        server.send(endpoint, new ObserveRequest(3303, 0, 5700), 10_000);
      }
      TestServer.await(() -> server.notified.size() >= 2000, "2000 notifications");

      // Each device begins at a moment of its own within a second.
      TestServer.await(
          () ->
              running.ledger().stream().map(line -> line.get("ep").asText()).distinct().count()
                  == 5,
          "lines of all five");
    }
  }

  @Test
  void notifies_composites_and_writes_them_to_the_ledger() throws Exception {
    try (TestServer server = new TestServer();
        Running running = new Running(folder, server.uri(Protocol.COAP), "prefix=n-,notify=0")) {
      server.nextRegistration();
      server.send(
          "n-0001",
          new ObserveCompositeRequest(
              ContentFormat.SENML_JSON, ContentFormat.SENML_CBOR, "/3/0/15", "/3/0/9"),
          5000);

      running.device("n-0001").set(new LwM2mPath("/3/0/15"), "Asia/Seoul");

      TestServer.await(
          () -> "Asia/Seoul".equals(server.composites.get("/3/0/15")), "the composite");
      TestServer.await(() -> running.ledger().size() == 2, "2 lines in the ledger");
    }
  }

  @Test
  void writes_down_what_it_answered_when_it_was_observed() throws Exception {
    try (TestServer server = new TestServer();
        Running running = new Running(folder, server.uri(Protocol.COAP), "prefix=n-,notify=0")) {
      server.nextRegistration();
      JsonNode values = running.details("n-0001").get("values");

      server.send("n-0001", new ObserveRequest(3303, 0, 5700), 5000);
      server.send(
          "n-0001",
          new ObserveCompositeRequest(
              ContentFormat.SENML_JSON, ContentFormat.SENML_CBOR, "/3/0/15", "/3341/9/5527"),
          5000);

      TestServer.await(() -> running.answered().size() == 2, "2 lines");
      for (JsonNode line : running.answered()) {
        assertEquals(values.get(line.get("path").asText()), line.get("value"));
      }
      assertEquals("/3303/0/5700", running.answered().get(0).get("path").asText());
    }
  }
}
