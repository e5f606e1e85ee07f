package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.flownexus.leshan.server.base.Tokens;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.eclipse.leshan.core.LwM2m.Version;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.server.registration.Registration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models that users add while the server runs. */
class UsersModelsTest {

  private static final int OBJECT = 33456;
  private static final String NONE = "{\"models\":[]}";
  private static final String TWO_VERSIONS =
      """
      {"models":[
        {"id":33456,"version":"1.0","name":"Kiln","multiple":true,"resources":[
          {"id":0,"name":"Heat","operations":"R","multiple":false,"mandatory":true,
           "type":"INTEGER","units":"K"},
          {"id":1,"name":"Stop","operations":"E","multiple":false,"mandatory":false,
           "type":null,"units":null}]},
        {"id":33456,"version":"1.1","name":"Kiln","multiple":true,"resources":[
          {"id":0,"name":"Heat","operations":"RW","multiple":false,"mandatory":true,
           "type":"FLOAT","units":"K"}]}]}
      """;

  @TempDir Path folder;

  private final List<String> asked = new CopyOnWriteArrayList<>();
  private HttpServer function;
  private volatile String answer = NONE;
  private ObjectModels models;
  private UsersModels.Settings settings;

  @BeforeEach
  void serve() throws Exception {
    function = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    function.createContext("/models", this::handle);
    function.start();
    models = ObjectModels.load(null);
    settings =
        new UsersModels.Settings(
            URI.create("http://127.0.0.1:" + function.getAddress().getPort() + "/models"),
            Tokens.read(Files.writeString(folder.resolve("hook"), "hook-token\n")),
            Duration.ofMillis(20),
            folder.resolve("spool.db.models"));
  }

  @AfterEach
  void stop() {
    function.stop(0);
  }

  @Test
  void model_counts_from_the_next_answer_on_by_the_version_of_the_device() throws Exception {
    try (UsersModels users = new UsersModels(settings, models)) {
      users.start();
      WebhookReceiver.await(() -> !asked.isEmpty());
      assertNull(resource("1.0", 0));
      answer = TWO_VERSIONS;
      WebhookReceiver.await(() -> resource("1.0", 0) != null);
      assertEquals(Type.INTEGER, resource("1.0", 0).type);
      assertEquals(Type.FLOAT, resource("1.1", 0).type);
      assertEquals("K", resource("1.1", 0).units);
      assertEquals(Operations.E, resource("1.0", 1).operations);
      answer = NONE;
      WebhookReceiver.await(() -> resource("1.0", 0) == null);
    }
  }

  @Test
  void it_is_asked_with_the_webhooks_token_and_by_the_tag_of_the_last_answer() throws Exception {
    try (UsersModels users = new UsersModels(settings, models)) {
      users.start();
      WebhookReceiver.await(() -> asked.size() > 1);
    }
    assertEquals("Bearer hook-token null", asked.get(0));
    assertEquals("Bearer hook-token \"" + NONE.hashCode() + "\"", asked.get(1));
  }

  @Test
  void what_was_known_is_known_after_a_restart_while_the_function_is_away() throws Exception {
    answer = TWO_VERSIONS;
    try (UsersModels users = new UsersModels(settings, models)) {
      users.start();
      WebhookReceiver.await(() -> Files.exists(settings.file()));
    }
    function.stop(0);
    models = ObjectModels.load(null);
    new UsersModels(settings, models).close();
    assertEquals(Type.FLOAT, resource("1.1", 0).type);
  }

  @Test
  void what_makes_no_sense_changes_nothing() throws Exception {
    answer = TWO_VERSIONS;
    try (UsersModels users = new UsersModels(settings, models)) {
      users.start();
      WebhookReceiver.await(() -> resource("1.0", 0) != null);
      answer = "{\"models\":[{\"id\":1}]}";
      int before = asked.size();
      WebhookReceiver.await(() -> asked.size() > before + 2);
      assertEquals(Type.INTEGER, resource("1.0", 0).type);
    }
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      String known = exchange.getRequestHeaders().getFirst("If-None-Match");
      asked.add(exchange.getRequestHeaders().getFirst("Authorization") + " " + known);
      String tag = "\"" + answer.hashCode() + "\"";
      exchange.getResponseHeaders().set("ETag", tag);
      if (tag.equals(known)) {
        exchange.sendResponseHeaders(304, -1);
        return;
      }
      byte[] body = answer.getBytes(StandardCharsets.UTF_8);
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
    }
  }

  private ResourceModel resource(String version, int id) {
    Registration registration =
        new Registration.Builder(
                "id",
                "ep",
                new IpPeer(new InetSocketAddress("127.0.0.1", 1)),
                new EndpointUri("coap", "127.0.0.1", 5683))
            .supportedObjects(Map.of(OBJECT, new Version(version)))
            .build();
    return models.getObjectModel(registration).getResourceModel(OBJECT, id);
  }
}
