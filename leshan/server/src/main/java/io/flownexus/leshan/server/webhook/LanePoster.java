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
  // gathering for a moment makes fewer and larger ones. After a very large one a longer moment does
  // so once more, and of a device that notifies again meanwhile only one value is the latest.
  // At 2,000 items/s, not below, the items gathered keep a lane busy: one hiccup does not hold a
  // lane with less to do in long waits.
  private static final int BUSY = 100;
  private static final Duration GATHER = Duration.ofMillis(50);
  private static final int VERY_BUSY = 500;
  private static final Duration GATHER_LONGER = Duration.ofMillis(150);
  // So many bad items may stand in a row; when there are more, it is rather the function.
  private static final int MAX_ASIDE_IN_A_ROW = 5;
  private static final long STUCK = TimeUnit.SECONDS.toNanos(60);

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
  private int asideInARow;

  private volatile boolean failing; // posting itself, not a post
  private volatile long expected = idle(); // when the next step has begun at the latest

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
      after(Duration.ZERO);
    }
  }

  /** Say what is wrong with posting itself, whatever is answered; null while all is well. */
  String trouble() {
    String name = lane.kind().label() + " lane " + lane.number();
    if (failing) {
      return "posting of " + name + " fails: see the log";
    }
    return System.nanoTime() - expected > 0 ? "posting of " + name + " has not moved on" : null;
  }

  // Always the last step: two posters of one lane would be in each other's way.
  private void after(Duration wait) {
    expect(wait);
    try {
      executor.schedule(this::post, wait.toMillis(), TimeUnit.MILLISECONDS);
    } catch (RejectedExecutionException e) {
      expected = idle();
      LOG.debug("closed: what comes now is not posted");
    }
  }

  private void expect(Duration wait) {
    expected = System.nanoTime() + wait.toNanos() + STUCK;
  }

  private static long idle() {
    return System.nanoTime() + Long.MAX_VALUE / 2;
  }

  private void post() {
    attempt(this::postNext);
  }

  private void postNext() {
    Batch batch = spool.peek(lane, limit, MAX_BYTES);
    if (batch == null) {
      expected = idle();
      busy.set(false);
      if (spool.pending(lane) > 0) { // came between the look and the release
        wake();
      }
      return;
    }
    expect(target.timeout());
    target
        .post(batch)
        .whenCompleteAsync(
            (answer, error) ->
                attempt(() -> next(batch, error == null ? answer : Answer.failed(error))),
            executor);
  }

  // What waits already, as when the lane was behind, needs no gathering.
  private void postNext(int before) {
    if (before < BUSY || spool.pending(lane) >= limit) {
      postNext();
    } else {
      after(before < VERY_BUSY ? GATHER : GATHER_LONGER);
    }
  }

  // Errors too: a thread that ends quietly would leave the lane busy for ever.
  private void attempt(Runnable step) {
    try {
      step.run();
      failing = false;
    } catch (Throwable e) {
      failing = true;
      failures++;
      Duration wait = backoff.after(failures, null);
      LOG.error(
          "{} lane {}: posting goes on in {} ms, after",
          lane.kind().label(),
          lane.number(),
          wait.toMillis(),
          e);
      after(wait);
    }
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
      after(failed(answer));
    } else if (answer.stored(batch)) {
      spool.remove(lane, batch.lastSeq());
      failures = 0;
      asideInARow = 0;
      limit = Math.min(batchItems, limit * 2);
      target.stored(batch, answer);
      postNext(batch.items().size());
    } else if (batch.items().size() > 1 && (answer.status() == 413 || answer.unreadable())) {
      limit = Math.max(1, batch.items().size() / 2);
      postNext();
    } else if (answer.unreadable()) {
      setAside(batch, answer);
    } else {
      Duration wait = failed(answer);
      target.failed(batch, answer, wait);
      after(wait);
    }
  }

  private void setAside(Batch batch, Answer answer) {
    spool.setAside(lane, answer.status() + " " + answer.text());
    target.setAside(batch, answer);
    asideInARow++;
    if (asideInARow < MAX_ASIDE_IN_A_ROW) {
      postNext();
    } else {
      Duration wait = backoff.slower().after(asideInARow - MAX_ASIDE_IN_A_ROW + 1, null);
      target.refusing(lane, asideInARow, wait);
      after(wait);
    }
  }

  private Duration failed(Answer answer) {
    failures++;
    return backoff.after(failures, answer.retryAfter());
  }
}
