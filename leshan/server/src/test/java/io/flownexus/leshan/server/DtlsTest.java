package io.flownexus.leshan.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.stream.Collectors.toCollection;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Devices over DTLS, and those that are refused. */
class DtlsTest {

  private static final byte[] KEY = {1, 2, 3, 4};
  private static final String EXPIRED = "refused: Certificate expired endpoint=expired";

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
  void wrong_key_is_refused_and_logged_with_the_endpoint_that_has_its_identity() throws Exception {
    allowPsk("psk", "its-identity");
    refused(
        "psk",
        psk("its-identity", new byte[] {9, 9}),
        line -> line.matches("WARN DTLS handshake with .* refused: wrong key endpoint=psk"));
    assertEquals("psk", refusal("wrong-key").path("ep").asText());
  }

  @Test
  void unknown_identity_is_refused_and_logged_with_what_was_offered() throws Exception {
    refused(
        "psk",
        psk("nobody", KEY),
        line -> line.endsWith("refused: unknown pre-shared key identity 'nobody'"));
    JsonNode item = refusal("unknown-identity");
    assertEquals("", item.path("ep").asText());
    assertEquals("identity 'nobody'", item.at("/refusal/detail").asText());
  }

  @Test
  void identity_of_any_bytes_is_one_line_of_bounded_length() throws Exception {
    byte[] identity = "\n\u001b[31m\u202e\u2028\u0085".concat("x".repeat(5000)).getBytes(UTF_8);
    identity[identity.length - 5000] = (byte) 0xff;
    try (Handshakes devices = new Handshakes(server.application.coapsPort())) {
      devices.begin(identity, KEY);
      String detail = refusal("unknown-identity").at("/refusal/detail").asText();
      assertTrue(detail.startsWith("identity '??[31m???\ufffdxxx"), detail);
      assertTrue(detail.endsWith("x...'"), detail);
      assertEquals(214, detail.length());
      assertTrue(log.lines().get(0).endsWith("refused: unknown pre-shared key " + detail));
    }
  }

  @Test
  void handshakes_at_once_are_each_told_by_their_own_name() throws Exception {
    Set<String> expected = new TreeSet<>();
    try (Handshakes devices = new Handshakes(server.application.coapsPort())) {
      for (int number = 0; number < 15; number++) {
        allowPsk("endpoint-" + number, "known-" + number);
        expected.add("wrong-key endpoint-" + number + " ");
        expected.add("unknown-identity  identity 'unknown-" + number + "'");
      }
      for (int number = 0; number < 15; number++) {
        devices.begin(("known-" + number).getBytes(UTF_8), new byte[] {9, 9});
        devices.begin(("unknown-" + number).getBytes(UTF_8), KEY);
      }
      WebhookReceiver.await(() -> server.webhooks.items("/registration").size() >= 30);
    }
    List<JsonNode> items = server.webhooks.items("/registration");
    assertEquals(expected, items.stream().map(DtlsTest::named).collect(toCollection(TreeSet::new)));
    assertEquals(30, items.stream().mapToInt(item -> item.at("/refusal/count").asInt()).sum());
    assertEquals(30, server.metric("refused_handshakes_total"));
    assertEquals(10, log.lines().size());
  }

  @Test
  void foreign_ca_is_refused_and_logged_without_the_name_that_it_says() throws Exception {
    allowX509("foreign");
    refused("foreign", x509("foreign"), line -> line.contains("DTLS handshake with"));
    assertEquals("", refusal("handshake-failed").path("ep").asText());
  }

  @Test
  void expired_certificate_is_refused_and_logged_with_whose_it_is() throws Exception {
    allowX509("expired");
    refused("expired", x509("expired"), line -> line.endsWith(EXPIRED));
    assertEquals("expired", refusal("handshake-failed").path("ep").asText());
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
    assertEquals("good", refusal("handshake-failed").path("ep").asText());
  }

  @Test
  void certificate_that_is_not_the_one_of_its_entry_is_refused_in_the_handshake() throws Exception {
    allow("{\"endpoint\":\"good\",\"tls\":{\"mode\":\"x509\",\"details\":{\"sha256\":\"00\"}}}");
    refused("good", x509("good"), line -> line.contains("was revoked or replaced"));
    assertEquals("good", refusal("handshake-failed").path("ep").asText());
  }

  @Test
  void raw_public_key_of_nobody_is_refused_in_the_handshake() throws Exception {
    refused("good", rpk("good"), line -> line.contains("the raw public key is nobody's"));
    assertEquals("", refusal("handshake-failed").path("ep").asText());
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

  private JsonNode refusal(String cause) throws Exception {
    return server.webhooks.await(
        "/registration", item -> item.at("/refusal/cause").asText().equals(cause));
  }

  private static String named(JsonNode item) {
    JsonNode refusal = item.path("refusal");
    return String.join(
        " ",
        refusal.path("cause").asText(),
        item.path("ep").asText(),
        refusal.path("detail").asText());
  }

  private void allowPsk(String endpoint) throws Exception {
    allowPsk(endpoint, endpoint);
  }

  private void allowPsk(String endpoint, String identity) throws Exception {
    String body =
        "{\"endpoint\":\"%s\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"%s\",\"key\":\"01020304\"}}}";
    allow(body.formatted(endpoint, identity));
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
