package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Tokens;
import io.prometheus.metrics.core.datapoints.Timer;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The function behind one webhook: posts to it, counts and logs how that goes. */
final class Target {

  private static final Logger LOG = LoggerFactory.getLogger(Target.class);
  private static final long LOG_INTERVAL_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final WebhookKind kind;
  private final URI uri;
  private final String authorization;
  private final Duration timeout;
  private final HttpClient client;
  private final Metrics.Webhook metrics;
  private final AtomicLong failureLogged = new AtomicLong(System.nanoTime() - LOG_INTERVAL_NANOS);
  private final AtomicLong rejectionLogged = new AtomicLong(failureLogged.get());
  private volatile boolean down;

  Target(
      WebhookKind kind,
      URI uri,
      Tokens tokens,
      Duration timeout,
      HttpClient client,
      Metrics metrics) {
    this.kind = kind;
    this.uri = uri;
    this.authorization = tokens.header();
    this.timeout = timeout;
    this.client = client;
    this.metrics = metrics.webhook(kind.label());
  }

  /** Post an envelope; completes with an answer of any status, or exceptionally with none. */
  CompletableFuture<Answer> post(byte[] envelope) {
    metrics.posts().inc();
    Timer timer = metrics.postSeconds().startTimer();
    HttpRequest request =
        HttpRequest.newBuilder(uri)
            .timeout(timeout)
            .header("Authorization", authorization)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(envelope))
            .build();
    return client
        .sendAsync(request, BodyHandlers.ofByteArray())
        // The request's own timeout ends with the headers, this one with the body.
        .orTimeout(timeout().toMillis(), TimeUnit.MILLISECONDS)
        .whenComplete((response, error) -> timer.observeDuration())
        .thenApply(Answer::of);
  }

  void stored(Batch batch, Answer answer) {
    metrics.storedItems().inc(batch.items().size());
    if (down) {
      down = false;
      LOG.info("{} webhook answers again", kind.label());
    }
    if (!answer.rejected().isEmpty()) {
      metrics.rejectedItems().inc(answer.rejected().size());
      if (due(rejectionLogged)) {
        LOG.warn("{} webhook rejected items: {}", kind.label(), answer.rejected().get(0));
      }
    }
  }

  void failed(Lane lane, Answer answer, Duration wait) {
    metrics.failedPosts().inc();
    down = true;
    if (due(failureLogged)) {
      LOG.warn(
          "{} webhook lane {}: {}; items are kept and posted again in {} ms",
          kind.label(),
          lane.number(),
          answer.told(),
          wait.toMillis());
    }
  }

  void setAside(Lane lane, long seq, Answer answer) {
    metrics.setAsideItems().inc();
    LOG.error(
        "{} webhook lane {}: item {} set aside: {}",
        kind.label(),
        lane.number(),
        seq,
        answer.told());
  }

  void refusing(Lane lane, int run, Duration wait) {
    LOG.error(
        "{} webhook lane {}: {} items in a row were set aside and none was stored between; it goes"
            + " on in {} ms",
        kind.label(),
        lane.number(),
        run,
        wait.toMillis());
  }

  /** Return how long a post takes at most. */
  Duration timeout() {
    return timeout.plusSeconds(1);
  }

  private static boolean due(AtomicLong last) {
    long now = System.nanoTime();
    long before = last.get();
    return now - before >= LOG_INTERVAL_NANOS && last.compareAndSet(before, now);
  }
}
