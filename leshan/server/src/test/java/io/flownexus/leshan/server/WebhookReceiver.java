package io.flownexus.leshan.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;

/** A real HTTP server in the place of the functions. */
public final class WebhookReceiver implements AutoCloseable {

  /** A post as it came in. */
  public record Post(String path, String authorization, String correlationId, JsonNode body) {}

  /** An answer to give; a header is left out when it is null. */
  public record Reply(int status, String body, String retryAfter) {}

  /** Decides the answer to a post, and may take its time. */
  @FunctionalInterface
  public interface Behaviour {
    /** Return the answer. */
    Reply answer(Post post) throws InterruptedException;
  }

  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final List<Post> posts = new CopyOnWriteArrayList<>();
  private volatile Behaviour behaviour = WebhookReceiver::stored;

  /** Listen on a free port. */
  public WebhookReceiver() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/", this::handle);
    server.start();
  }

  /** Return the URL of a path. */
  public URI uri(String path) {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort() + path);
  }

  /** Answer differently from now on. */
  public void behave(Behaviour newBehaviour) {
    behaviour = newBehaviour;
  }

  /** Answer that all items are stored. */
  public static Reply stored(Post post) {
    long first = post.body().path("first_seq").asLong();
    int size = post.body().path("items").size();
    return new Reply(
        200,
        "{\"stored\":%d,\"skipped\":0,\"mark\":%d,\"rejected\":[]}"
            .formatted(size, first + size - 1),
        null);
  }

  /** Return all posts so far. */
  public List<Post> posts() {
    return posts;
  }

  /** Return the items of all posts to a path so far. */
  public List<JsonNode> items(String path) {
    return posts.stream()
        .filter(post -> post.path().equals(path))
        .flatMap(post -> post.body().path("items").valueStream())
        .toList();
  }

  /** Wait for an item of a path. */
  public JsonNode await(String path, Predicate<JsonNode> wanted) throws InterruptedException {
    await(() -> items(path).stream().anyMatch(wanted));
    return items(path).stream().filter(wanted).findFirst().orElseThrow();
  }

  /** Wait until something holds, at most 10 s. */
  public static void await(BooleanSupplier condition) throws InterruptedException {
    long deadline = System.nanoTime() + 10_000_000_000L;
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("did not happen in 10 s");
      }
      Thread.sleep(10);
    }
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      Post post =
          new Post(
              exchange.getRequestURI().getPath(),
              exchange.getRequestHeaders().getFirst("Authorization"),
              exchange.getRequestHeaders().getFirst("X-Correlation-ID"),
              MAPPER.readTree(exchange.getRequestBody()));
      posts.add(post);
      Reply reply = behaviour.answer(post);
      if (reply.retryAfter() != null) {
        exchange.getResponseHeaders().set("Retry-After", reply.retryAfter());
      }
      byte[] body = reply.body().getBytes(StandardCharsets.UTF_8);
      exchange.sendResponseHeaders(reply.status(), body.length == 0 ? -1 : body.length);
      exchange.getResponseBody().write(body);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
