package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs tasks at one interval, spread evenly over it.
 *
 * <p>Tasks of one slot run together: a timer for each of 1,000 devices costs more in waking threads
 * than the notifications themselves.
 */
final class Ticker {
  private static final Logger LOG = LoggerFactory.getLogger(Ticker.class);
  private static final Duration SLOT = Duration.ofMillis(5);
  private static final long MAX_SLOTS = 1000;
  private static final long STRIDE = 2_654_435_769L;

  private final List<List<Runnable>> slots = new ArrayList<>();
  private final AtomicInteger added = new AtomicInteger();
  private final ScheduledFuture<?> timer;
  private int now;

  Ticker(ScheduledExecutorService timers, Duration interval) {
    long count = Math.max(1, Math.min(MAX_SLOTS, interval.dividedBy(SLOT)));
    for (int i = 0; i < count; i++) {
      slots.add(new CopyOnWriteArrayList<>());
    }
    long pause = interval.toNanos() / count;
    timer = timers.scheduleAtFixedRate(this::tick, pause, pause, TimeUnit.NANOSECONDS);
  }

  /** Run a task at each interval from now on. */
  void add(Runnable task) {
    // A stride that shares no divisor with the slots' number visits each of them in turn.
    slots.get((int) (added.getAndIncrement() * STRIDE % slots.size())).add(task);
  }

  /** Run a task no longer; return whether it was the last one. */
  boolean remove(Runnable task) {
    slots.forEach(slot -> slot.remove(task));
    return slots.stream().allMatch(List::isEmpty);
  }

  void stop() {
    timer.cancel(false);
  }

  private void tick() {
    now = (now + 1) % slots.size();
    slots.get(now).forEach(Ticker::run);
  }

  private static void run(Runnable task) {
    try {
      task.run();
    } catch (RuntimeException e) {
      LOG.error("a device's tick failed", e);
    }
  }
}
