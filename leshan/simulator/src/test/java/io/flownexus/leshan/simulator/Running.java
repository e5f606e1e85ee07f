package io.flownexus.leshan.simulator;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Runs a simulator for a test, with a ledger, a log of requests and a control port. */
final class Running implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path ledgerFile;
  private final Path unacknowledgedFile;
  private final Path requestsFile;
  private final FleetSettings settings;
  private final Simulator simulator;
  private final HttpClient http = HttpClient.newHttpClient();

  Running(Path folder, String uri, String... groups) throws IOException {
    this(folder, uri, new Credentials.None(), groups);
  }

  Running(Path folder, String uri, Credentials credentials, String... groups) throws IOException {
    ledgerFile = folder.resolve("ledger.jsonl");
    unacknowledgedFile = folder.resolve("unacknowledged.jsonl");
    requestsFile = folder.resolve("requests.jsonl");
    settings =
        new FleetSettings(
            uri,
            credentials,
            InetAddress.getLoopbackAddress(),
            new JsonLines(ledgerFile),
            new JsonLines(unacknowledgedFile),
            new JsonLines(requestsFile),
            1);
    Engine engine =
        new Engine(
            new Engine.FirmwareLimits(100_000, Duration.ofSeconds(2), Duration.ofSeconds(3)));
    simulator =
        new Simulator(engine, Arrays.stream(groups).map(GroupSpec::parse).toList(), settings, 0);
    simulator.fleet().start(500);
  }

  Device device(String endpoint) {
    return simulator.fleet().find(endpoint).orElseThrow();
  }

  String status() {
    return simulator.fleet().status();
  }

  List<JsonNode> ledger() {
    settings.ledger().flush();
    return lines(ledgerFile);
  }

  /** Return what was sent and never acknowledged, but for answers. */
  List<JsonNode> unacknowledged() {
    return sentOnce(false);
  }

  /** Return the values in answers to observations. */
  List<JsonNode> answered() {
    return sentOnce(true);
  }

  private List<JsonNode> sentOnce(boolean answered) {
    settings.unacknowledged().flush();
    return lines(unacknowledgedFile).stream()
        .filter(line -> answered == line.get("ended").asText().equals("answered"))
        .toList();
  }

  List<JsonNode> requests() {
    settings.requests().flush();
    return lines(requestsFile);
  }

  /** Return the lock that a device waits for when it notes that it has answered a request. */
  Object requestsLock() {
    return settings.requests();
  }

  // The last line may be under way.
  private static List<JsonNode> lines(Path file) {
    try {
      String text = Files.readString(file);
      List<JsonNode> lines = new ArrayList<>();
      for (String line : text.substring(0, text.lastIndexOf('\n') + 1).lines().toList()) {
        lines.add(JSON.readTree(line));
      }
      return lines;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  HttpResponse<String> control(String method, String path)
      throws IOException, InterruptedException {
    URI uri = URI.create("http://127.0.0.1:" + simulator.controlPort() + path);
    HttpRequest request =
        HttpRequest.newBuilder(uri).method(method, HttpRequest.BodyPublishers.noBody()).build();
    return http.send(request, HttpResponse.BodyHandlers.ofString());
  }

  JsonNode details(String endpoint) throws IOException, InterruptedException {
    return JSON.readTree(control("GET", "/devices/" + endpoint).body());
  }

  @Override
  public void close() throws IOException {
    simulator.close();
  }
}
