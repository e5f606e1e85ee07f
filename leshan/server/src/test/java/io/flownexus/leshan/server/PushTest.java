package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Firmware packages written to a device that takes them only so, block by block. */
class PushTest {

  private static final String LINKS = "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</5/0>";

  @TempDir Path folder;
  private PackageServer packages;
  private TestServer server;
  private RawDevice device;

  @BeforeEach
  void open() throws Exception {
    packages = new PackageServer();
    server = new TestServer(folder, packages.uri());
    device = new RawDevice("raw", server.application.coapPort());
    device.register(1, "ep=raw&lt=300&lwm2m=1.1&b=U", LINKS);
    assertNotNull(device.answer(1, 5000));
  }

  @AfterEach
  void close() {
    device.close();
    server.close();
    packages.close();
  }

  private JsonNode push(String token, int timeoutSeconds) throws Exception {
    String path = "/api/clients/raw/5/0/0/push?token=%s&timeout=%d";
    return server.json("PUT", path.formatted(token, timeoutSeconds));
  }

  @Test
  void package_comes_in_blocks_and_is_read_a_window_ahead() throws Exception {
    JsonNode end = push(PackageServer.TOKEN, 20);
    assertEquals("CHANGED(204)", end.path("status").asText(), end.toString());
    assertArrayEquals(packages.content, device.written.toByteArray());
    assertEquals(3, packages.asked.size(), packages.asked.toString());
    assertEquals(79, device.requests.size()); // of 512 bytes
  }

  @Test
  void device_says_how_large_blocks_may_be() throws Exception {
    device.takeBlocks(4, null);
    assertEquals("CHANGED(204)", push(PackageServer.TOKEN, 20).path("status").asText());
    assertArrayEquals(packages.content, device.written.toByteArray());
    assertEquals(1 + 157, device.requests.size()); // one was too large, of 256 bytes
  }

  @Test
  void who_asks_again_learns_how_far_it_is_and_does_not_begin_anew() throws Exception {
    device.ignore(true);
    JsonNode underWay = push(PackageServer.TOKEN, 1);
    assertEquals("CONTINUE(231)", underWay.path("status").asText(), underWay.toString());
    assertEquals(0, underWay.path("sent").asInt());
    assertEquals(PackageServer.SIZE, underWay.path("size").asInt());
    device.ignore(false); // the first block comes again, 2 to 3 s after it came first
    assertEquals("CHANGED(204)", push(PackageServer.TOKEN, 20).path("status").asText());
    assertArrayEquals(packages.content, device.written.toByteArray());
    assertEquals(3, packages.asked.size(), packages.asked.toString());
  }

  @Test
  void what_the_device_answers_to_a_block_that_it_does_not_take_is_the_end() throws Exception {
    device.takeBlocks(6, ResponseCode.METHOD_NOT_ALLOWED);
    JsonNode end = push(PackageServer.TOKEN, 20);
    assertEquals("METHOD_NOT_ALLOWED(405)", end.path("status").asText(), end.toString());
    assertEquals(1, device.requests.size());
    device.takeBlocks(6, ResponseCode.REQUEST_ENTITY_TOO_LARGE);
    end = push(PackageServer.TOKEN, 20);
    assertEquals("REQUEST_ENTITY_TOO_LARGE(413)", end.path("status").asText(), end.toString());
    device.takeBlocks(6, null); // its end was told: it begins anew
    assertEquals("CHANGED(204)", push(PackageServer.TOKEN, 20).path("status").asText());
  }

  @Test
  void device_that_awaits_more_than_the_package_has_is_told_of_so() throws Exception {
    device.takeBlocks(6, ResponseCode.CONTINUE); // to the last block, too
    JsonNode end = push(PackageServer.TOKEN, 20);
    assertEquals("unreadable", end.path("code").asText(), end.toString());
    assertEquals(
        "Invalid response: the device awaits more than the package has",
        end.path("message").asText());
    assertEquals(79, device.requests.size());
  }

  @Test
  void who_is_told_to_forget_the_package_is_sent_no_further_block() throws Exception {
    device.ignore(true);
    assertEquals("CONTINUE(231)", push(PackageServer.TOKEN, 1).path("status").asText());
    JsonNode forget = server.json("POST", "/api/clients/raw/5/0/10?timeout=1");
    assertEquals("timeout", forget.path("code").asText(), forget.toString());
    device.ignore(false); // it answers what comes again: the first block, and the other one
    assertEquals("cancelled", push(PackageServer.TOKEN, 5).path("code").asText());
    assertTrue(device.written.size() <= 512, "blocks went on");
  }

  @Test
  void token_of_no_package_is_not_found() throws Exception {
    assertEquals("not-found", push("B".repeat(24), 20).path("code").asText());
    assertTrue(device.requests.isEmpty());
    JsonNode none = server.json("PUT", "/api/clients/raw/5/0/0/push");
    assertEquals("parameter token is missing", none.path("message").asText());
  }
}
