package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** Waits for one thing at a time: the next step makes the one before it void, even if it is due. */
final class LatestStep {
  private final DeviceContext context;
  private ScheduledFuture<?> timer;
  private int number;

  LatestStep(DeviceContext context) {
    this.context = context;
  }

  /** Begin a step; its tasks run on the device's executor until the next step begins. */
  Executor next() {
    cancel();
    int mine = number;
    return task ->
        context
            .executor()
            .execute(
                () -> {
                  if (mine == number) {
                    task.run();
                  }
                });
  }

  /** Begin a step that is to run a task after a delay. */
  void after(Duration delay, Runnable task) {
    Executor step = next();
    timer =
        context
            .engine()
            .timers
            .schedule(() -> step.execute(task), delay.toNanos(), TimeUnit.NANOSECONDS);
  }

  boolean isWaiting() {
    return timer != null;
  }

  /** Wait for nothing. */
  void cancel() {
    number++;
    if (timer != null) {
      timer.cancel(false);
      timer = null;
    }
  }
}
