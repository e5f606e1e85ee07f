package io.flownexus.leshan.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** The server as a process of its own, to be killed and started again on the same ports. */
final class ServerProcess implements AutoCloseable {

  private static final ObjectMapper MAPPER = new ObjectMapper();

  final int coapPort;
  final int coapsPort;
  private final int httpPort;
  private final Path folder;
  private final Map<String, String> environment;
  private final List<String> command = new ArrayList<>();
  private final HttpClient http = HttpClient.newHttpClient();
  private Process process;

  /** Choose ports and start, with the flags that a test adds; those of the JVM begin with -X. */
  ServerProcess(Path folder, WebhookReceiver webhooks, String... flags) throws Exception {
    this(folder, webhooks, Map.of(), flags);
  }

  /** The same, with variables of the environment. */
  ServerProcess(
      Path folder, WebhookReceiver webhooks, Map<String, String> environment, String... flags)
      throws Exception {
    this.folder = folder;
    this.environment = environment;
    coapPort = freeUdpPort();
    coapsPort = freeUdpPort();
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      httpPort = socket.getLocalPort();
    }
    Path api = Files.writeString(folder.resolve("api"), "api-token\n");
    Path hook = Files.writeString(folder.resolve("hook"), "hook-token\n");
    List<String> jvm = Stream.of(flags).filter(flag -> flag.startsWith("-X")).toList();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(jvm);
    command.addAll(
        List.of(
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            Main.class.getName()));
    command.addAll(
        List.of(
            "--coap-port=" + coapPort,
            "--coaps-port=" + coapsPort,
            "--plain-coap=*",
            "--http-port=" + httpPort,
            "--api-token-file=" + api,
            "--webhook-token-file=" + hook,
            "--webhook-single=" + webhooks.uri("/single"),
            "--webhook-composite=" + webhooks.uri("/composite"),
            "--webhook-registration=" + webhooks.uri("/registration"),
            "--ready-file=" + folder.resolve("ready")));
    for (String usual :
        List.of("--spool=" + folder.resolve("spool.db"), "--metrics-port=0", "--log-level=warn")) {
      String name = usual.substring(0, usual.indexOf('='));
      if (Stream.of(flags).noneMatch(flag -> flag.startsWith(name))) {
        command.add(usual);
      }
    }
    Stream.of(flags).filter(flag -> !jvm.contains(flag)).forEach(command::add);
    start();
  }

  void start() throws Exception {
    Path ready = folder.resolve("ready");
    Files.deleteIfExists(ready);
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(folder.resolve("log").toFile()));
    builder.environment().putAll(environment);
    process = builder.start();
    for (int i = 0; !Files.exists(ready); i++) {
      if (i > 600 || !process.isAlive()) {
        throw new AssertionError(Files.readString(folder.resolve("log")));
      }
      Thread.sleep(50);
    }
  }

  /** Stop in order, and wait for it. */
  void stop() throws InterruptedException {
    process.destroy();
    process.waitFor();
  }

  /** Kill, as SIGKILL does. */
  void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  void restart() throws Exception {
    kill();
    start();
  }

  boolean isAlive() {
    return process.isAlive();
  }

  String log() throws IOException {
    return Files.readString(folder.resolve("log"));
  }

  String call(String method, String path) {
    try {
      HttpRequest request =
          HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + httpPort + path))
              .header("Authorization", "Bearer api-token")
              .method(method, BodyPublishers.noBody())
              .build();
      return http.send(request, BodyHandlers.ofString()).body();
    } catch (IOException | InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  JsonNode json(String method, String path) throws IOException {
    return MAPPER.readTree(call(method, path));
  }

  long metric(String name) {
    try {
      int port = MAPPER.readTree(folder.resolve("ready").toFile()).path("metrics").asInt();
      HttpRequest request =
          HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/metrics")).build();
      return Samples.of(http.send(request, BodyHandlers.ofString()).body(), name);
    } catch (IOException | InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (process.waitFor(15, TimeUnit.SECONDS)) {
        return;
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.destroyForcibly();
  }

  private static int freeUdpPort() throws IOException {
    try (DatagramSocket socket = new DatagramSocket(0, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }
}
