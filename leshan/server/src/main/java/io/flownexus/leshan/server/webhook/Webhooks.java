package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Posts what the spool holds to the functions, a poster for each lane of each webhook. */
public final class Webhooks {

  private static final int THREADS = 2;

  private final Spool spool;
  private final ScheduledThreadPoolExecutor executor;
  private final Map<WebhookKind, LanePoster[]> posters = new EnumMap<>(WebhookKind.class);

  /** Connect a spool to its functions; posting begins with the next item. */
  public Webhooks(Spool spool, WebhookSettings settings, Metrics metrics) {
    this.spool = spool;
    AtomicInteger threads = new AtomicInteger();
    executor =
        new ScheduledThreadPoolExecutor(
            THREADS,
            task -> {
              Thread thread = new Thread(task, "webhook-" + threads.incrementAndGet());
              thread.setDaemon(true);
              return thread;
            });
    executor.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    HttpClient client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(settings.timeout())
            .executor(executor)
            .build();
    Backoff backoff = new Backoff(settings.firstRetry(), settings.longestRetry());
    settings
        .targets()
        .forEach(
            (kind, uri) -> {
              Target target =
                  new Target(kind, uri, settings.tokens(), settings.timeout(), client, metrics);
              LanePoster[] lanes = new LanePoster[settings.lanes()];
              for (int i = 0; i < lanes.length; i++) {
                lanes[i] =
                    new LanePoster(
                        new Lane(kind, i), spool, target, executor, backoff, settings.batchItems());
              }
              posters.put(kind, lanes);
            });
    metrics.show(Gauge.SPOOL_PENDING_ITEMS, spool::pending);
    spool.onAppend(lane -> posters.get(lane.kind())[lane.number()].wake());
  }

  /** Say of each lane that is not posted though it could be why. */
  public List<String> troubles() {
    return posters.values().stream()
        .flatMap(Arrays::stream)
        .map(LanePoster::trouble)
        .filter(Objects::nonNull)
        .toList();
  }

  /** Wait until nothing is pending, at most so long, and stop; return how many items remain. */
  public long close(Duration patience) {
    long deadline = System.nanoTime() + patience.toNanos();
    try {
      while (spool.pending() > 0 && System.nanoTime() < deadline) {
        TimeUnit.MILLISECONDS.sleep(20);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    executor.shutdownNow();
    return spool.pending();
  }
}
