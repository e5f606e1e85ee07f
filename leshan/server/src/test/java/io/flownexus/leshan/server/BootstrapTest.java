package io.flownexus.leshan.server;

import static io.flownexus.leshan.server.WebhookReceiver.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.WebhookReceiver.Post;
import io.flownexus.leshan.server.WebhookReceiver.Reply;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real device fetches its account, where functions say what it is handed out. */
@SuppressWarnings("try") // a device that only has to be there
class BootstrapTest {

  private static final String FACTORY = "0f".repeat(16);
  private static final String OWN = "a5".repeat(16);
  private static final byte[] IDENTITY = "factory-1".getBytes(StandardCharsets.UTF_8);

  @TempDir Path folder;
  private TestServer server;
  private String extra = "";
  private volatile int away;

  @BeforeEach
  void start() throws IOException, InterruptedException {
    server = new TestServer(folder);
    server.put(
        "/api/security/clients",
        ("{'endpoint': 'dev-1', 'tls': {'mode': 'psk', 'details': {'identity': 'dev-1', 'key': '"
                + OWN
                + "'}}}")
            .replace('\'', '"'));
    server.webhooks.behave(
        post ->
            switch (post.path()) {
              case "/bootstrap/key" -> key(post);
              case "/bootstrap/begin" -> begin(post);
              case "/bootstrap/end" -> end();
              default -> WebhookReceiver.stored(post);
            });
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private Reply key(Post post) {
    return switch (post.body().path("identity").asText()) {
      case "factory-1" ->
          new Reply(200, "{\"key\": \"" + FACTORY + "\", \"endpoint\": \"dev-1\"}", null);
      case "\0" -> new Reply(422, "{\"detail\": \"identity: a PSK identity, without NUL\"}", null);
      default ->
          new Reply(404, "{\"detail\": \"no device may bootstrap with this identity\"}", null);
    };
  }

  private Reply begin(Post post) {
    if (!post.body().path("endpoint").asText().equals("dev-1")) {
      return new Reply(409, "{\"detail\": \"the factory key is that of 'dev-1'\"}", null);
    }
    String identity = HexFormat.of().formatHex("dev-1".getBytes(StandardCharsets.UTF_8));
    String writes =
        """
        {"session": 7, "writes": [
          {"path": "/0/1", "resources": {"0": "coaps://127.0.0.1:%d", "1": false, "2": 0,
            "3": "%s", "4": "", "5": "%s", "10": 9}},
          {"path": "/1/0", "resources": {"0": 9, "1": 123, "2": 5, "6": true, "7": "U"}}%s]}
        """
            .formatted(server.application.coapsPort(), identity, OWN, extra);
    return new Reply(200, writes, null);
  }

  private Reply end() {
    return away-- > 0 ? new Reply(503, "{}", null) : new Reply(200, "{\"session\": 7}", null);
  }

  private TestDevice device(String endpoint, byte[] identity, String key) {
    Security bootstrap =
        Security.pskBootstrap(
            "coaps://127.0.0.1:" + server.application.bootstrapPort(),
            identity,
            HexFormat.of().parseHex(key));
    return TestDevice.bootstrapped(endpoint, bootstrap).start();
  }

  private List<JsonNode> bodies(String path) {
    return server.webhooks.posts().stream()
        .filter(post -> post.path().equals(path))
        .map(Post::body)
        .toList();
  }

  private JsonNode refusal(String cause) throws InterruptedException {
    return server.webhooks.await(
        "/registration", item -> item.at("/refusal/cause").asText().equals(cause));
  }

  private JsonNode awaitEnd() throws InterruptedException {
    await(() -> !bodies("/bootstrap/end").isEmpty());
    return bodies("/bootstrap/end").get(0);
  }

  @Test
  void a_device_gets_its_account_and_registers_with_its_own_key() throws Exception {
    try (TestDevice device = device("dev-1", IDENTITY, FACTORY)) {
      JsonNode end = awaitEnd();
      assertEquals(7, end.path("session").asInt());
      assertTrue(end.path("failure").isNull());
      JsonNode registration =
          server.webhooks.await("/registration", item -> item.path("ep").asText().equals("dev-1"));
      assertEquals(123, registration.path("reg").path("lifetime").asInt());
      JsonNode began = bodies("/bootstrap/begin").get(0);
      assertEquals("factory-1", began.path("identity").asText());
      assertEquals("127.0.0.1", began.path("address").asText());
      assertEquals("Bearer hook-token", server.webhooks.posts().get(0).authorization());
      await(() -> device.client.getRegisteredServers().size() == 1);
    }
  }

  @Test
  void the_end_is_told_again_while_the_function_is_away() throws Exception {
    away = 2;
    try (TestDevice device = device("dev-1", IDENTITY, FACTORY)) {
      await(() -> bodies("/bootstrap/end").size() == 3);
      assertTrue(bodies("/bootstrap/end").get(2).path("failure").isNull());
    }
  }

  @Test
  void another_devices_factory_key_begins_nothing() throws Exception {
    try (TestDevice device = device("dev-2", IDENTITY, FACTORY)) {
      await(() -> !bodies("/bootstrap/begin").isEmpty());
      await(() -> bodies("/bootstrap/begin").get(0).path("endpoint").asText().equals("dev-2"));
      assertTrue(bodies("/bootstrap/end").isEmpty());
      assertTrue(device.client.getRegisteredServers().isEmpty());
    }
  }

  @Test
  void a_wrong_key_and_an_unknown_identity_are_refused_in_the_handshake() throws Exception {
    byte[] unknown = "nobody".getBytes(StandardCharsets.UTF_8);
    try (TestDevice wrong = device("dev-1", IDENTITY, "00".repeat(16));
        TestDevice nobody = device("dev-1", unknown, FACTORY)) {
      await(() -> server.metric("refused_handshakes_total") >= 2);
      assertTrue(bodies("/bootstrap/begin").isEmpty());
      assertFalse(bodies("/bootstrap/key").isEmpty());
      assertEquals("dev-1", refusal("wrong-key").path("ep").asText());
      JsonNode refused = refusal("unknown-identity");
      assertEquals("", refused.path("ep").asText());
      assertEquals("identity 'nobody'", refused.at("/refusal/detail").asText());
    }
  }

  @Test
  void an_identity_that_is_none_is_refused_without_asking_again() throws Exception {
    try (TestDevice nobody = device("dev-1", new byte[] {0}, FACTORY)) {
      await(() -> server.metric("refused_handshakes_total") >= 1);
      assertEquals(1, bodies("/bootstrap/key").size());
    }
  }

  @Test
  void what_the_device_refuses_is_told_in_words() throws Exception {
    extra = ", {\"path\": \"/3347/0\", \"resources\": {\"5501\": 1}}";
    try (TestDevice device = device("dev-1", IDENTITY, FACTORY)) {
      assertTrue(
          awaitEnd().path("failure").asText().startsWith("write of /3347/0 was answered 4."),
          awaitEnd().toString());
    }
  }

  @Test
  void a_value_that_is_not_as_its_object_model_says_is_told_in_words() throws Exception {
    extra = ", {\"path\": \"/2/0\", \"resources\": {\"0\": \"three\"}}";
    try (TestDevice device = device("dev-1", IDENTITY, FACTORY)) {
      String failure = awaitEnd().path("failure").asText();
      assertTrue(failure.contains("not of type INTEGER"), failure);
    }
  }
}
