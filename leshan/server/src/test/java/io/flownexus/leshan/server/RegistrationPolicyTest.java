package io.flownexus.leshan.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.security.PlainCoap;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who may register, and under which name. */
class RegistrationPolicyTest {

  private static final String PSK =
      "{\"endpoint\":\"%1$s\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"%1$s\",\"key\":\"01020304\"}}}";

  private static final String REST = "&lt=300&lwm2m=1.1&b=U";

  @TempDir Path folder;
  TestServer server;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder);
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void name_whose_credentials_were_revoked_cannot_be_taken_in_the_clear() throws Exception {
    allow("a");
    assertEquals(200, server.call("DELETE", "/api/security/clients/a").statusCode());
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
    assertEquals(
        "[{\"endpoint\":\"a\",\"tls\":{\"mode\":\"denied\"}}]",
        server.call("GET", "/api/security/clients").body());

    restart(PlainCoap.ANY);
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
    assertEquals("", server.call("DELETE", "/api/security/clients/a").body());
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
    assertEquals(0, server.json("GET", "/api/clients").size());
    assertTrue(server.webhooks.posts().isEmpty());
  }

  @Test
  void revoked_device_is_gone_at_once_and_comes_back_with_new_credentials_only() throws Exception {
    allow("a");
    TestDevice device = secure("a").start();
    server.awaitRegistration("a", 0);
    server.call("DELETE", "/api/security/clients/a");
    server.awaitRegistration("a", 1);
    assertEquals(400, server.call("GET", "/api/clients/a/3/0").statusCode());
    device.vanish(); // its session has ended, too: what it says in it is not heard
    server.webhooks.posts().clear();

    TestDevice refused = secure("a").start();
    WebhookReceiver.await(this::handshakeRefused);
    refused.vanish();
    assertTrue(server.webhooks.items("/registration").isEmpty());

    allow("a");
    TestDevice again = secure("a").start();
    server.awaitRegistration("a", 0);
    again.vanish();
  }

  @Test
  void name_that_came_over_dtls_once_is_not_taken_over_in_the_clear() throws Exception {
    restart(PlainCoap.ANY);
    allow("a");
    TestDevice device = secure("a").start();
    server.awaitRegistration("a", 0);
    device.close();
    server.awaitRegistration("a", 1);
    Files.delete(folder.resolve("security.json")); // lost, or another one was put in its place
    restart(PlainCoap.ANY);
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
    assertEquals(ResponseCode.CREATED, register("b"));
  }

  @Test
  void only_names_that_are_allowed_to_come_in_the_clear() throws Exception {
    restart(new PlainCoap(List.of("sim-*", "only")));
    assertEquals(ResponseCode.CREATED, register("sim-1"));
    assertEquals(ResponseCode.CREATED, register("only"));
    assertEquals(ResponseCode.FORBIDDEN, register("only-1"));
    assertEquals(ResponseCode.FORBIDDEN, register("asim-1"));
  }

  @Test
  void port_that_nobody_may_use_is_not_bound() throws Exception {
    int port = server.application.coapPort();
    restart(PlainCoap.CLOSED);
    assertEquals(0, server.application.coapPort());
    assertTrue(server.application.coapsPort() > 0);
    try (DatagramSocket free = new DatagramSocket(port, InetAddress.getLoopbackAddress())) {
      assertTrue(free.isBound());
    }
    allow("a");
    TestDevice device = secure("a").start();
    server.awaitRegistration("a", 0);
    device.close();
  }

  @Test
  void registration_that_is_not_allowed_any_more_ends_at_the_start() throws Exception {
    restart(PlainCoap.ANY);
    assertEquals(ResponseCode.CREATED, register("a"));
    restart(new PlainCoap(List.of("b")));
    assertEquals(0, server.json("GET", "/api/clients").size());
    server.awaitRegistration("a", 1);
  }

  @Test
  void made_up_names_of_one_address_are_refused_beyond_a_limit() throws Exception {
    assertEquals(ResponseCode.CREATED, register("known"));
    int refused = 0;
    try (RawDevice device = new RawDevice("", server.application.coapPort())) {
      for (int mid = 0; mid < 1000; mid++) {
        device.register(mid, "ep=made-up-" + mid + REST);
        Response answer = (Response) device.answer(mid, 5000);
        if (answer.getCode() == ResponseCode.TOO_MANY_REQUESTS) {
          assertEquals("too many new endpoints, try again in 60 s", answer.getPayloadString());
          refused++;
        }
      }
    }
    int registered = server.json("GET", "/api/clients").size();
    assertEquals(1001, registered + refused);
    assertTrue(registered >= 20 && registered < 20 + 30, "registered: " + registered);
    assertEquals(ResponseCode.CREATED, register("known"));
  }

  @Test
  void device_in_the_clear_is_gone_when_its_name_gets_credentials() throws Exception {
    assertEquals(ResponseCode.CREATED, register("a"));
    allow("a");
    assertEquals(0, server.json("GET", "/api/clients").size());
    server.awaitRegistration("a", 1);
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
  }

  @Test
  void name_can_be_denied_that_never_had_credentials() throws Exception {
    String denied = "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"denied\"}}";
    server.call("PUT", "/api/security/clients", "application/json", denied);
    assertEquals(ResponseCode.FORBIDDEN, register("a"));
  }

  private boolean handshakeRefused() {
    return server.metric("refused_handshakes_total") > 0;
  }

  private void restart(PlainCoap plain) throws Exception {
    server.close();
    server = new TestServer(folder, plain, folder.resolve("spool.db"));
  }

  private TestDevice secure(String endpoint) {
    byte[] key = {1, 2, 3, 4};
    String uri = "coaps://127.0.0.1:" + server.application.coapsPort();
    return new TestDevice(
        endpoint, Security.psk(uri, 1, endpoint.getBytes(UTF_8), key), 300, false);
  }

  private void allow(String endpoint) throws Exception {
    String body = PSK.formatted(endpoint);
    assertEquals(
        200, server.call("PUT", "/api/security/clients", "application/json", body).statusCode());
  }

  private ResponseCode register(String endpoint) throws Exception {
    try (RawDevice device = new RawDevice(endpoint, server.application.coapPort())) {
      device.register(1);
      return ((Response) device.answer(1, 5000)).getCode();
    }
  }
}
