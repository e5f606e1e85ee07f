package io.flownexus.leshan.server.webhook;

import java.time.Duration;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Posts one lane's batches one at a time: while one is under way the next one forms. */
final class LanePoster {

  private static final Logger LOG = LoggerFactory.getLogger(LanePoster.class);
  private static final int MAX_BYTES = 4 << 20;
  // After a large batch more is on its way, and a batch by itself costs as much as many items:
  // gathering for a moment makes fewer and larger ones.
  private static final int BUSY = 50;
  private static final long GATHER_MILLIS = 50;

  private final Lane lane;
  private final Spool spool;
  private final Target target;
  private final ScheduledExecutorService executor;
  private final Backoff backoff;
  private final int batchItems;
  private final AtomicBoolean busy = new AtomicBoolean();

  // Only the one who holds busy uses these.
  private int limit;
  private int failures;

  LanePoster(
      Lane lane,
      Spool spool,
      Target target,
      ScheduledExecutorService executor,
      Backoff backoff,
      int batchItems) {
    this.lane = lane;
    this.spool = spool;
    this.target = target;
    this.executor = executor;
    this.backoff = backoff;
    this.batchItems = batchItems;
    this.limit = batchItems;
  }

  /** Post soon, unless a post is under way or waits for its next try. */
  void wake() {
    if (busy.compareAndSet(false, true)) {
      try {
        executor.execute(this::post);
      } catch (RejectedExecutionException e) {
        LOG.debug("closed: what comes now is not posted");
      }
    }
  }

  private void post() {
    try {
      postNext();
    } catch (RuntimeException e) {
      goOnAfter(e);
    }
  }

  private void postNext() {
    Batch batch = spool.peek(lane, limit, MAX_BYTES);
    if (batch == null) {
      busy.set(false);
      if (spool.peek(lane, 1, 1) != null) { // came between the look and the release
        wake();
      }
      return;
    }
    target
        .post(batch.envelope())
        .whenCompleteAsync(
            (answer, error) -> settle(batch, error == null ? answer : Answer.failed(error)),
            executor);
  }

  private void settle(Batch batch, Answer answer) {
    try {
      next(batch, answer);
    } catch (RuntimeException e) {
      goOnAfter(e);
    }
  }

  private void goOnAfter(RuntimeException error) {
    LOG.error("{} lane {}: posting goes on after", lane.kind().label(), lane.number(), error);
    executor.schedule(this::post, 1, TimeUnit.SECONDS);
  }

  private void next(Batch batch, Answer answer) {
    if (answer.status() == 200 && !spool.gave(lane, batch.source(), answer.mark())) {
      // The function has seen numbers that this life of the lane never gave: it may have taken
      // these items for old ones. They go again, under a name it has never seen.
      LOG.error(
          "{} lane {}: mark {} is above all numbers given since the start, taking a new source",
          lane.kind().label(),
          lane.number(),
          answer.mark());
      spool.renewSource(lane);
      retry(answer);
    } else if (answer.status() == 200) {
      spool.remove(lane, batch.lastSeq());
      failures = 0;
      limit = Math.min(batchItems, limit * 2);
      target.stored(batch, answer);
      if (batch.items().size() >= BUSY && batch.items().size() < batchItems) {
        executor.schedule(this::post, GATHER_MILLIS, TimeUnit.MILLISECONDS);
      } else {
        post();
      }
    } else if (answer.status() == 413 || answer.status() == 400) {
      if (batch.items().size() > 1) {
        limit = Math.max(1, batch.items().size() / 2);
      } else {
        spool.setAside(lane, answer.status() + " " + answer.text());
        target.setAside(lane, batch.firstSeq(), answer);
      }
      post();
    } else {
      target.failed(lane, answer, retry(answer));
    }
  }

  private Duration retry(Answer answer) {
    failures++;
    Duration wait = backoff.after(failures, answer.retryAfter());
    executor.schedule(this::post, wait.toMillis(), TimeUnit.MILLISECONDS);
    return wait;
  }
}
