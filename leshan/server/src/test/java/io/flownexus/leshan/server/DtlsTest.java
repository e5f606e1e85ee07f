package io.flownexus.leshan.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.function.Predicate;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Devices over DTLS, and those that are refused. */
class DtlsTest {

  private static final byte[] KEY = {1, 2, 3, 4};

  @TempDir static Path keys;
  static TestCertificates certificates;

  @TempDir Path folder;
  CapturedLog log;
  TestServer server;

  @BeforeEach
  void start() throws Exception {
    if (certificates == null) {
      certificates = new TestCertificates(keys);
    }
    server = new TestServer(folder, 1 << 30, Duration.ofSeconds(93), certificates.server());
    log = new CapturedLog(Level.WARN);
  }

  @AfterEach
  void stop() {
    log.close();
    server.close();
  }

  @Test
  void device_with_its_pre_shared_key_does_all_that_others_do() throws Exception {
    allowPsk("psk");
    doesAll("psk", psk("psk", KEY));
  }

  @Test
  void device_with_a_certificate_of_the_ca_does_all_that_others_do() throws Exception {
    allowX509("good");
    doesAll("good", x509("good"));
  }

  @Test
  void wrong_key_is_refused_and_logged() throws Exception {
    allowPsk("psk");
    refused("psk", psk("psk", new byte[] {9, 9}), line -> line.contains("DTLS handshake with"));
  }

  @Test
  void unknown_identity_is_refused_and_logged() throws Exception {
    refused("psk", psk("psk", KEY), line -> line.contains("DTLS handshake with"));
  }

  @Test
  void foreign_ca_is_refused_and_logged() throws Exception {
    allowX509("foreign");
    refused("foreign", x509("foreign"), line -> line.contains("DTLS handshake with"));
  }

  @Test
  void expired_certificate_is_refused_and_logged() throws Exception {
    allowX509("expired");
    refused("expired", x509("expired"), line -> line.contains("DTLS handshake with"));
  }

  @Test
  void certificate_of_another_name_is_refused_and_logged() throws Exception {
    allowX509("good");
    allowX509("other");
    refused(
        "other", x509("good"), line -> line.matches("WARN RegisterRequest by .* endpoint=other"));
  }

  @Test
  void certificate_that_is_of_no_endpoint_is_refused_in_the_handshake() throws Exception {
    refused("good", x509("good"), line -> line.contains("no endpoint has the certificate"));
  }

  @Test
  void certificate_that_is_not_the_one_of_its_entry_is_refused_in_the_handshake() throws Exception {
    allow("{\"endpoint\":\"good\",\"tls\":{\"mode\":\"x509\",\"details\":{\"sha256\":\"00\"}}}");
    refused("good", x509("good"), line -> line.contains("was revoked or replaced"));
  }

  @Test
  void raw_public_key_of_nobody_is_refused_in_the_handshake() throws Exception {
    refused("good", rpk("good"), line -> line.contains("the raw public key is nobody's"));
  }

  @Test
  void device_with_its_raw_public_key_does_all_that_others_do() throws Exception {
    String key = HexFormat.of().formatHex(certificates.publicKey("good"));
    allow(
        "{\"endpoint\":\"raw\",\"tls\":{\"mode\":\"rpk\",\"details\":{\"key\":\"%s\"}}}"
            .formatted(key));
    doesAll("raw", rpk("good"));
  }

  @Test
  void secured_name_cannot_be_taken_without_encryption() throws Exception {
    allowPsk("psk");
    Security plain = Security.noSec("coap://127.0.0.1:" + server.application.coapPort(), 1);
    refused("psk", plain, line -> line.matches("WARN RegisterRequest by .* endpoint=psk"));
  }

  private void doesAll(String endpoint, Security security) throws Exception {
    try (TestDevice device = new TestDevice(endpoint, security, 300, false).start()) {
      assertTrue(server.awaitRegistration(endpoint, 0).at("/reg/secure").asBoolean());
      String url = "/api/clients/" + endpoint;
      assertTrue(server.json("GET", url).path("secure").asBoolean());
      assertEquals("24.9", server.json("GET", url + "/3303/0/5700").at("/content/value").asText());
      assertTrue(server.json("POST", url + "/3303/0/5700/observe").path("success").asBoolean());
      device.confirm(3303);
      for (double value = 4.5; value < 8; value++) { // each goes out when the last is acknowledged
        String text = Double.toString(value);
        device.temperature.set(value);
        server.webhooks.await("/single", item -> item.at("/val/value").asText().equals(text));
      }
    }
    server.awaitRegistration(endpoint, 1);
  }

  private void refused(String endpoint, Security security, Predicate<String> line)
      throws Exception {
    TestDevice device = new TestDevice(endpoint, security, 300, false).start();
    try {
      WebhookReceiver.await(() -> log.lines().stream().anyMatch(line));
      assertEquals(0, server.json("GET", "/api/clients").size());
      assertTrue(server.webhooks.items("/registration").stream().allMatch(e -> e.has("refusal")));
    } finally {
      device.vanish();
    }
    String entry = log.lines().stream().filter(line).findFirst().orElseThrow();
    assertEquals(1, entry.lines().count(), entry);
  }

  private void allowPsk(String endpoint) throws Exception {
    String body =
        "{\"endpoint\":\"%1$s\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"%1$s\",\"key\":\"01020304\"}}}";
    allow(body.formatted(endpoint));
  }

  private void allowX509(String endpoint) throws Exception {
    allow("{\"endpoint\":\"%s\",\"tls\":{\"mode\":\"x509\"}}".formatted(endpoint));
  }

  private void allow(String body) throws Exception {
    assertEquals(
        200, server.call("PUT", "/api/security/clients", "application/json", body).statusCode());
  }

  private Security psk(String identity, byte[] key) {
    return Security.psk(uri(), 1, identity.getBytes(UTF_8), key);
  }

  private Security rpk(String alias) throws Exception {
    return Security.rpk(
        uri(),
        1,
        certificates.publicKey(alias),
        certificates.key(alias),
        certificates.publicKey("server"));
  }

  private Security x509(String alias) throws Exception {
    return Security.x509(
        uri(),
        1,
        certificates.certificate(alias),
        certificates.key(alias),
        certificates.certificate("server"));
  }

  private String uri() {
    return "coaps://127.0.0.1:" + server.application.coapsPort();
  }
}
