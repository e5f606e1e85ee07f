package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ControlTest {
  @TempDir Path folder;
  private TestServer server;
  private Running running;
  private String id;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer();
    running = new Running(folder, server.uri(Protocol.COAP), "prefix=d-,notify=0");
    id = server.nextRegistration().getId();
    TestServer.await(() -> running.device("d-0001").state().equals("registered"), "registered");
  }

  @AfterEach
  void stop() throws Exception {
    running.close();
    server.close();
  }

  private int post(String action) throws Exception {
    return running.control("POST", "/devices/d-0001/" + action).statusCode();
  }

  // This server is Leshan as it comes, which refuses timestamps that are multiples of 125 ms.
  private void sendTimestamps(String action) throws Exception {
    String answer = "";
    for (int attempt = 0; attempt < 5 && !answer.contains("2.04"); attempt++) {
      Thread.sleep(10);
      answer = running.control("POST", "/devices/d-0001/" + action).body();
    }
    assertTrue(answer.contains("2.04"), answer);
  }

  @Test
  void shows_devices() throws Exception {
    var details = running.details("d-0001");
    assertEquals("registered", details.get("state").asText());
    assertTrue(details.get("registration_id").asText().endsWith(id));
    assertEquals("Etc/UTC", details.at("/values/~13~10~115").asText());
    assertTrue(running.control("GET", "/devices").body().startsWith("[{\"ep\":\"d-0001\""));
  }

  @Test
  void updates_and_registers_anew() throws Exception {
    assertEquals(200, post("update"));
    assertEquals(id, TestServer.next(server.updated, "update").getId());
    assertEquals(200, post("register"));
    assertNotEquals(id, server.nextRegistration().getId());
  }

  @Test
  void deregisters_and_comes_back() throws Exception {
    assertEquals(200, post("deregister"));
    TestServer.next(server.unregistered, "deregistration");
    TestServer.await(() -> running.device("d-0001").state().equals("deregistered"), "deregistered");
    assertEquals(409, post("update"));
    assertEquals(200, post("register"));
    server.nextRegistration();
  }

  @Test
  void stops_silently_and_starts_again() throws Exception {
    assertEquals(200, post("stop"));
    TestServer.await(() -> running.device("d-0001").state().equals("stopped"), "stopped");
    assertNull(server.send("d-0001", new ReadRequest(3, 0, 0), 500));
    assertNull(server.unregistered.poll());
    assertEquals(200, post("start"));
    server.nextRegistration();
  }

  @Test
  void sets_and_notifies_a_value() throws Exception {
    server.send("d-0001", new ObserveRequest(3, 0, 9), 10_000);
    assertEquals(200, post("set?path=/3/0/9&value=42"));
    TestServer.await(
        () -> server.notified.equals(List.of(new TestServer.Notified("d-0001", "/3/0/9", 42L))),
        "42");
    assertEquals(200, post("set?path=/3/0/7/1&value=4999"));
    assertEquals(4999, running.details("d-0001").at("/values/~13~10~17/1").asInt());
  }

  @Test
  void lets_all_devices_notify_at_another_interval_as_fast_as_they_can_and_no_longer()
      throws Exception {
    server.send("d-0001", new ObserveRequest(3303, 0, 5700), 10_000);
    for (String every : List.of("20ms", "max")) {
      int before = server.notified.size();
      assertEquals(200, running.control("POST", "/notify?every=" + every).statusCode());
      TestServer.await(() -> server.notified.size() >= before + 20, "notifications at " + every);
    }

    assertEquals(200, running.control("POST", "/notify?every=0").statusCode());
    Thread.sleep(200); // for what was under way
    TestServer.await(() -> running.ledger().size() == server.notified.size(), "the ledger");
    int stopped = server.notified.size();
    Thread.sleep(200);
    assertEquals(stopped, server.notified.size());
    assertEquals(stopped, running.ledger().size());
    long first = running.ledger().get(0).get("sent_us").asLong();
    long last = running.ledger().get(stopped - 1).get("sent_us").asLong();
    assertTrue(last - first >= 20 * 20_000, last - first + " us");
  }

  @Test
  void sends_values_with_and_without_times() throws Exception {
    assertEquals(200, post("send?path=/3303/0/5700"));
    TimestampedLwM2mNodes one = TestServer.next(server.sent, "send");
    assertEquals(1, one.getTimestamps().size());

    sendTimestamps("send?path=/3303/0/5700,/3/0/9&timestamps=3");
    TimestampedLwM2mNodes three = TestServer.next(server.sent, "send");
    assertEquals(3, three.getTimestamps().size());

    var ledger = running.ledger();
    assertEquals(7, ledger.size());
    assertEquals("send", ledger.get(0).get("kind").asText());
    assertTrue(ledger.get(1).get("ts").asLong() > 1_700_000_000_000L);
  }

  @Test
  void sends_each_instance_of_a_multiple_resource_by_its_own_path() throws Exception {
    assertEquals(200, post("send?path=/3/0/7"));
    var sent = TestServer.next(server.sent, "send").getFlattenNodes();
    assertEquals(Set.of(new LwM2mPath(3, 0, 7, 0), new LwM2mPath(3, 0, 7, 1)), sent.keySet());
  }

  @Test
  void refuses_what_makes_no_sense() throws Exception {
    assertEquals(404, running.control("GET", "/devices/x-0001").statusCode());
    assertEquals(404, running.control("GET", "/").statusCode());
    assertEquals(404, post("explode"));
    assertEquals(405, running.control("GET", "/devices/d-0001/update").statusCode());
    assertEquals(400, post("set?path=/3/0/9"));
    assertEquals(400, post("set?path=/3/0/9&value=full"));
    assertEquals(400, post("set?path=/3&value=1"));
    assertEquals(400, post("set?path=none&value=1"));
    assertEquals(400, post("send?path=/4/0/1"));
    assertEquals(400, post("fail?on=perhaps"));
    assertEquals(400, running.control("POST", "/notify?every=often").statusCode());
  }
}
