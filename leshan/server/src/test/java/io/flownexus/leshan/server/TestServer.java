package io.flownexus.leshan.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.bootstrap.BootstrapServer;
import io.flownexus.leshan.server.coap.DtlsSessions;
import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.security.NewEndpoints;
import io.flownexus.leshan.server.security.PlainCoap;
import io.flownexus.leshan.server.webhook.WebhookKind;
import io.flownexus.leshan.server.webhook.WebhookSettings;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/** The whole server on free ports, in front of a webhook receiver. */
final class TestServer implements AutoCloseable {

  private static final ObjectMapper MAPPER = new ObjectMapper();

  final WebhookReceiver webhooks = new WebhookReceiver();
  final Application application;
  final HttpClient http = HttpClient.newHttpClient();

  TestServer(Path folder) throws IOException {
    this(folder, 1 << 30, Duration.ofSeconds(93), null);
  }

  TestServer(Path folder, long maxSpoolBytes, Duration awake, Credentials credentials)
      throws IOException {
    this(
        folder, maxSpoolBytes, awake, credentials, PlainCoap.ANY, folder.resolve("spool.db"), null);
  }

  TestServer(Path folder, PlainCoap plain, Path spool) throws IOException {
    this(folder, 1 << 30, Duration.ofSeconds(93), null, plain, spool, null);
  }

  TestServer(Path folder, URI firmware) throws IOException {
    this(
        folder,
        1 << 30,
        Duration.ofSeconds(93),
        null,
        PlainCoap.ANY,
        folder.resolve("spool.db"),
        firmware);
  }

  private TestServer(
      Path folder,
      long maxSpoolBytes,
      Duration awake,
      Credentials credentials,
      PlainCoap plain,
      Path spool,
      URI firmware)
      throws IOException {
    Tokens api = Tokens.read(Files.writeString(folder.resolve("api"), "api-token\nolder\n"));
    Tokens secrets = Tokens.read(Files.writeString(folder.resolve("secrets"), "secrets-token\n"));
    Tokens hook = Tokens.read(Files.writeString(folder.resolve("hook"), "hook-token leshan\n"));
    WebhookSettings settings =
        new WebhookSettings(
            Map.of(
                WebhookKind.SINGLE, webhooks.uri("/single"),
                WebhookKind.COMPOSITE, webhooks.uri("/composite"),
                WebhookKind.REGISTRATION, webhooks.uri("/registration")),
            hook,
            4,
            500,
            Duration.ofSeconds(5),
            Duration.ofMillis(20),
            Duration.ofMillis(200));
    application =
        new Application(
            new ServerSettings(
                "127.0.0.1",
                0,
                0,
                plain,
                new NewEndpoints.Limits(20, 30),
                "127.0.0.1",
                0,
                "127.0.0.1",
                0,
                api,
                secrets,
                metrics ->
                    new WebhookDelivery(
                        settings, spool, maxSpoolBytes, Duration.ofSeconds(30), awake, metrics),
                folder.resolve("security.json"),
                credentials,
                null,
                firmware,
                null,
                awake,
                true,
                DtlsSessions.none(),
                new BootstrapServer.Settings("127.0.0.1", 0, webhooks.uri("/bootstrap"), hook)));
    application.start();
  }

  URI uri(String path) {
    return URI.create("http://127.0.0.1:" + application.httpPort() + path);
  }

  HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(uri(path)).header("Authorization", "Bearer api-token");
  }

  HttpResponse<String> call(String method, String path, String contentType, String body)
      throws IOException, InterruptedException {
    HttpRequest.Builder request = request(path);
    request.method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
    if (contentType != null) {
      request.header("Content-Type", contentType);
    }
    return http.send(request.build(), BodyHandlers.ofString());
  }

  HttpResponse<String> call(String method, String path) throws IOException, InterruptedException {
    return call(method, path, null, null);
  }

  JsonNode json(String method, String path) throws IOException, InterruptedException {
    return MAPPER.readTree(call(method, path).body());
  }

  JsonNode put(String path, String json) throws IOException, InterruptedException {
    return MAPPER.readTree(call("PUT", path, "application/json", json).body());
  }

  URI metricsUri(String path) {
    return URI.create("http://127.0.0.1:" + application.metricsPort() + path);
  }

  long metric(String sample) {
    try {
      HttpRequest request = HttpRequest.newBuilder(metricsUri("/metrics")).build();
      return Samples.of(http.send(request, BodyHandlers.ofString()).body(), sample);
    } catch (IOException | InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** Wait until a device's newest registration event has this resource of object 10240. */
  JsonNode awaitRegistration(String endpoint, int resource) throws InterruptedException {
    return webhooks.await(
        "/registration",
        item ->
            item.path("ep").asText().equals(endpoint)
                && item.path("val").path("id").asInt() == resource);
  }

  @Override
  public void close() {
    application.stop(Duration.ZERO);
    webhooks.close();
  }
}
