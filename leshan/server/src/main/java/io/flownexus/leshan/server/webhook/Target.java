package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.CorrelationId;
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
import org.slf4j.event.Level;
import org.slf4j.spi.LoggingEventBuilder;

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

  /** Post a batch; completes with an answer of any status, or exceptionally with none. */
  CompletableFuture<Answer> post(Batch batch) {
    tell(batch);
    metrics.posts().inc();
    Timer timer = metrics.postSeconds().startTimer();
    HttpRequest request =
        HttpRequest.newBuilder(uri)
            .timeout(timeout)
            .header("Authorization", authorization)
            .header("Content-Type", "application/json")
            .header(CorrelationId.HEADER, batch.correlationId())
            .POST(HttpRequest.BodyPublishers.ofByteArray(batch.envelope()))
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
    line(Level.DEBUG, batch).log("{} webhook: {} items stored", kind.label(), batch.items().size());
    if (down) {
      down = false;
      LOG.info("{} webhook answers again", kind.label());
    }
    if (!answer.rejected().isEmpty()) {
      metrics.rejectedItems().inc(answer.rejected().size());
      if (due(rejectionLogged)) {
        line(Level.WARN, batch)
            .log("{} webhook rejected items: {}", kind.label(), answer.rejected().get(0));
      }
    }
  }

  void failed(Batch batch, Answer answer, Duration wait) {
    metrics.failedPosts().inc();
    down = true;
    line(due(failureLogged) ? Level.WARN : Level.DEBUG, batch)
        .log(
            "{} webhook lane {}: {}; items are kept and posted again in {} ms",
            kind.label(),
            batch.lane().number(),
            answer.told(),
            wait.toMillis());
  }

  void setAside(Batch batch, Answer answer) {
    metrics.setAsideItems().inc();
    line(Level.ERROR, batch)
        .log(
            "{} webhook lane {}: item {} set aside: {}",
            kind.label(),
            batch.lane().number(),
            batch.firstSeq(),
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

  // Which items go under which id, so that a device's message can be followed.
  private void tell(Batch batch) {
    line(Level.DEBUG, batch).log("{} webhook: {} items posted", kind.label(), batch.items().size());
    if (LOG.isDebugEnabled()) {
      long number = batch.firstSeq();
      for (byte[] item : batch.items()) {
        line(Level.DEBUG, batch)
            .addKeyValue("endpoint", Answer.json(item).path("ep").asText())
            .addKeyValue("item", number++)
            .log("{} webhook: item posted", kind.label());
      }
    }
  }

  private static LoggingEventBuilder line(Level level, Batch batch) {
    return LOG.atLevel(level).addKeyValue(CorrelationId.KEY, batch.correlationId());
  }

  private static boolean due(AtomicLong last) {
    long now = System.nanoTime();
    long before = last.get();
    return now - before >= LOG_INTERVAL_NANOS && last.compareAndSet(before, now);
  }
}
