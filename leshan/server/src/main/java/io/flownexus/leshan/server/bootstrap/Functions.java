package io.flownexus.leshan.server.bootstrap;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Asks the function that decides who may bootstrap, and what a device is handed out. */
final class Functions implements AutoCloseable {

  /** The function has refused; its message says why. */
  static final class RefusedException extends Exception {
    RefusedException(String message) {
      super(message);
    }
  }

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final long FIRST_PAUSE_MS = 250;
  private static final int AT_ONCE = 8; // each is a short transaction in the database
  private static final int MAX_WAITING = 5_000;

  private static final Set<Integer> REFUSALS = Set.of(404, 409, 422);

  private final URI url;
  private final String authorization;
  private final HttpClient client;
  private final ThreadPoolExecutor executor;

  Functions(URI url, String authorization) {
    this.url = url;
    this.authorization = authorization;
    client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(TIMEOUT)
            .build();
    AtomicInteger number = new AtomicInteger();
    executor =
        new ThreadPoolExecutor(
            AT_ONCE,
            AT_ONCE,
            10,
            TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(MAX_WAITING),
            task -> {
              Thread thread = new Thread(task, "bootstrap-" + number.incrementAndGet());
              thread.setDaemon(true);
              return thread;
            });
    executor.allowCoreThreadTimeOut(true);
  }

  /**
   * Ask, again while the function is away, up to so often.
   *
   * @return its answer; RefusedException if it refuses, IOException if it could not be asked
   */
  CompletableFuture<JsonNode> ask(String path, Map<String, ?> body, int tries) {
    CompletableFuture<JsonNode> answer = new CompletableFuture<>();
    try {
      executor.execute(() -> complete(answer, path, body, tries));
    } catch (RejectedExecutionException e) {
      answer.completeExceptionally(new IOException("too many devices bootstrap at once"));
    }
    return answer;
  }

  private void complete(
      CompletableFuture<JsonNode> answer, String path, Map<String, ?> body, int tries) {
    try {
      for (int left = tries; ; left--) {
        try {
          answer.complete(post(path, body));
          return;
        } catch (IOException e) {
          if (left <= 1) {
            throw e;
          }
        }
        long pause = FIRST_PAUSE_MS << (tries - left);
        Thread.sleep(ThreadLocalRandom.current().nextLong(pause / 2, pause));
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      answer.completeExceptionally(e);
    } catch (IOException | RefusedException | RuntimeException e) {
      answer.completeExceptionally(e);
    }
  }

  private JsonNode post(String path, Map<String, ?> body)
      throws IOException, InterruptedException, RefusedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/" + path))
            .timeout(TIMEOUT)
            .header("Authorization", authorization)
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofByteArray(MAPPER.writeValueAsBytes(body)))
            .build();
    HttpResponse<byte[]> response = client.send(request, BodyHandlers.ofByteArray());
    if (response.statusCode() == 200) {
      return MAPPER.readTree(response.body());
    }
    if (REFUSALS.contains(response.statusCode())) {
      throw new RefusedException(MAPPER.readTree(response.body()).path("detail").asText("refused"));
    }
    throw new IOException("HTTP status " + response.statusCode() + " of " + path);
  }

  @Override
  public void close() {
    executor.shutdownNow();
  }
}
