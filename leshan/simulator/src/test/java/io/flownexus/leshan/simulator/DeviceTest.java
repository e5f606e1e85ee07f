package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.stream.Collectors;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.server.registration.Registration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeviceTest {
  @TempDir Path folder;
  private TestServer server;
  private Running running;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer();
    running = new Running(folder, server.uri(Protocol.COAP), "prefix=dev-,notify=0");
  }

  @AfterEach
  void stop() throws Exception {
    running.close();
    server.close();
  }

  @Test
  void registers_with_its_objects() throws Exception {
    Registration registration = server.nextRegistration();

    assertEquals("dev-0001", registration.getEndpoint());
    assertEquals(60, registration.getLifeTimeInSec());
    Set<String> links =
        Arrays.stream(registration.getObjectLinks())
            .map(link -> link.getUriReference())
            .collect(Collectors.toSet());
    assertTrue(links.containsAll(Set.of("/1/0", "/3/0", "/5/0", "/20/0", "/3303/0")), "" + links);
    assertFalse(registration.getQueueMode());
  }

  @Test
  void answers_read_write_and_execute() throws Exception {
    server.nextRegistration();

    LwM2mObjectInstance device =
        (LwM2mObjectInstance) server.send("dev-0001", new ReadRequest(3, 0), 10_000).getContent();
    assertEquals("Flow Nexus", device.getResource(0).getValue());
    assertEquals(5000L, device.getResource(7).getValue(1));
    assertEquals(0L, device.getResource(11).getValue(0));

    assertEquals(
        ResponseCode.CHANGED,
        server.send("dev-0001", new WriteRequest(3, 0, 15, "Europe/Paris"), 10_000).getCode());
    LwM2mSingleResource timezone =
        (LwM2mSingleResource)
            server.send("dev-0001", new ReadRequest(3, 0, 15), 10_000).getContent();
    assertEquals("Europe/Paris", timezone.getValue());

    assertEquals(
        ResponseCode.CHANGED,
        server.send("dev-0001", new ExecuteRequest(3303, 0, 5605), 10_000).getCode());
  }

  @Test
  void registers_anew_after_a_reboot() throws Exception {
    String before = server.nextRegistration().getId();

    server.send("dev-0001", new ExecuteRequest(3, 0, 4), 10_000);

    assertNotEquals(before, server.nextRegistration().getId());
  }

  @Test
  void refuses_what_it_lacks_or_forbids() throws Exception {
    server.nextRegistration();

    assertEquals(
        ResponseCode.NOT_FOUND,
        server.send("dev-0001", new ReadRequest(4, 0, 0), 10_000).getCode());
    assertEquals(
        ResponseCode.NOT_FOUND,
        server.send("dev-0001", new ReadRequest(3, 1, 0), 10_000).getCode());
    assertEquals(
        ResponseCode.METHOD_NOT_ALLOWED,
        server.send("dev-0001", new WriteRequest(3, 0, 0, "mine"), 10_000).getCode());
    assertEquals(
        ResponseCode.METHOD_NOT_ALLOWED,
        server.send("dev-0001", new ExecuteRequest(3, 0, 0), 10_000).getCode());
  }

  @Test
  void logs_each_request_with_its_answer() throws Exception {
    server.nextRegistration();

    server.send("dev-0001", new WriteRequest(3, 0, 15, "Asia/Tokyo"), 10_000);
    server.send("dev-0001", new ReadRequest(4, 0, 0), 10_000);

    var requests = running.requests();
    assertEquals(2, requests.size());
    assertEquals("write", requests.get(0).get("operation").asText());
    assertEquals("/3/0/15", requests.get(0).get("path").asText());
    assertEquals("Asia/Tokyo", requests.get(0).get("value").asText());
    assertEquals("2.04", requests.get(0).get("result").asText());
    assertEquals("read", requests.get(1).get("operation").asText());
    assertEquals("4.04", requests.get(1).get("result").asText());
  }
}
