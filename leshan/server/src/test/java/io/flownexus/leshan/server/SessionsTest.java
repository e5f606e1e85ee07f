package io.flownexus.leshan.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** DTLS sessions of devices: what ends them, a new address or a restart, and what does not. */
class SessionsTest {

  private static final String SECRET = "0123456789abcdef0123456789abcdef";
  private static final String KEY = "01020304";
  private static final int HEARD = 3;

  @TempDir Path folder;
  WebhookReceiver webhooks;
  ServerProcess server;
  Nat nat;
  TestDevice device;

  @BeforeEach
  void start() throws Exception {
    webhooks = new WebhookReceiver();
    Files.writeString(folder.resolve("secret"), SECRET + "\n");
    Files.writeString(
        folder.resolve("security.json"),
        "[{\"endpoint\":\"dev\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"dev\",\"key\":\"%s\"}}}]"
            .formatted(KEY));
    server =
        new ServerProcess(
            folder,
            webhooks,
            "--security-store=" + folder.resolve("security.json"),
            "--dtls-sessions=" + folder.resolve("sessions"),
            "--dtls-sessions-secret-file=" + folder.resolve("secret"),
            "--log-level=info");
    nat = new Nat(server.coapsPort);
    Security security =
        Security.psk(
            "coaps://127.0.0.1:" + nat.port(), 1, "dev".getBytes(UTF_8), new byte[] {1, 2, 3, 4});
    device = new TestDevice("dev", security, 300, false).start();
    awaitEvent(0);
    assertTrue(
        server.json("POST", "/api/clients/dev/3303/0/5700/observe").path("success").asBoolean());
    device.confirm(3303);
    notifies(1.5);
  }

  @AfterEach
  void stop() {
    device.vanish();
    nat.close();
    server.close();
    webhooks.close();
  }

  @Test
  void new_address_counts_from_the_next_message() throws Exception {
    nat.move();
    notifies(2.5);
    assertEquals("127.0.0.1:" + nat.mapped(), awaitEvent(HEARD).at("/reg/address").asText());
    assertEquals("CONTENT(205)", read().path("status").asText());
    assertEquals(
        "127.0.0.1:" + nat.mapped(),
        server.json("GET", "/api/clients/dev").path("address").asText());
    notifies(3.5);
    assertEquals(1, events(HEARD));
    assertEquals(1, server.metric("established_sessions_total"));
    nat.move();
    notifies(4.5);
    WebhookReceiver.await(() -> events(HEARD) == 2);
    assertEquals(1, values(4.5));
  }

  @Test
  void session_goes_on_after_an_orderly_restart_with_the_next_packet() throws Exception {
    server.stop();
    Path file = folder.resolve("sessions");
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    assertFalse(new String(Files.readAllBytes(file), UTF_8).contains("dev"));
    server.start();
    assertFalse(Files.exists(file));
    notifies(2.5);
    assertEquals("CONTENT(205)", read().path("status").asText());
    assertEquals(0, server.metric("established_sessions_total"));
    assertEquals(0, events(HEARD));
    nat.move();
    notifies(3.5);
    assertEquals("CONTENT(205)", read().path("status").asText());
    server.stop();
    server.start();
    notifies(4.5);
    assertEquals(0, server.metric("established_sessions_total"));
  }

  @Test
  void file_opens_nothing_without_its_secret() throws Exception {
    server.stop();
    Files.writeString(folder.resolve("secret"), SECRET.replace('0', 'f'));
    server.start();
    assertTrue(server.log().contains("was encrypted by another secret, or is damaged"));
    assertFalse(Files.exists(folder.resolve("sessions")));
    device.temperature.set(2.5);
    Thread.sleep(1500);
    assertEquals(0, values(2.5));
  }

  @Test
  void kill_ends_sessions() throws Exception {
    server.restart();
    device.temperature.set(2.5);
    Thread.sleep(1500);
    assertEquals(0, values(2.5));
  }

  @Test
  void damaged_file_is_no_hindrance() throws Exception {
    server.stop();
    byte[] content = Files.readAllBytes(folder.resolve("sessions"));
    content[content.length / 2] ^= 1;
    Files.write(folder.resolve("sessions"), content);
    server.start();
    assertTrue(server.log().contains("was encrypted by another secret, or is damaged"));
  }

  private void notifies(double value) throws Exception {
    device.temperature.set(value);
    WebhookReceiver.await(() -> values(value) > 0);
  }

  private long values(double value) {
    return webhooks.items("/single").stream()
        .filter(item -> item.at("/val/value").asDouble() == value)
        .count();
  }

  private JsonNode read() throws Exception {
    return server.json("GET", "/api/clients/dev/3303/0/5701?timeout=3");
  }

  private JsonNode awaitEvent(int resource) throws Exception {
    return webhooks.await("/registration", item -> item.at("/val/id").asInt() == resource);
  }

  private long events(int resource) {
    return webhooks.items("/registration").stream()
        .filter(item -> item.at("/val/id").asInt() == resource)
        .count();
  }
}
