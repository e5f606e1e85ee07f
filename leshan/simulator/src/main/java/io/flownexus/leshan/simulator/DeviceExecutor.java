package io.flownexus.leshan.simulator;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs a device's tasks one at a time, on whichever thread is at hand.
 *
 * <p>This is the simulator's one rule of concurrency: the state of a device belongs to its
 * executor. Requests, acknowledgements, timers, ticks and the control port all come in through it;
 * so the parts of a device have no locks. Fields that other threads may read are volatile, and
 * written here only. No thread blocks for an executor but the control port's, in {@link #call}.
 * Below the device, sockets and CoAP's exchanges follow Californium's rules.
 */
final class DeviceExecutor implements Executor {
  private static final Logger LOG = LoggerFactory.getLogger(DeviceExecutor.class);
  private static final long CALL_TIMEOUT_S = 10;

  /** What is to be run, and on whose threads; null for whichever is at hand. */
  private record Task(Executor on, Runnable work) {}

  private final Executor pool;
  private final Runnable drain = this::drain;
  private final Queue<Task> waiting = new ArrayDeque<>(1);
  private boolean busy;
  private Thread owner;

  /** Use a pool's threads, which many devices share. */
  DeviceExecutor(Executor pool) {
    this.pool = pool;
  }

  /** Tell whether the calling thread runs a task of this executor. */
  synchronized boolean isCurrent() {
    return owner == Thread.currentThread();
  }

  /** Run a task on a thread of the pool, after those that came before. */
  @Override
  public void execute(Runnable task) {
    synchronized (this) {
      waiting.add(new Task(null, task));
      if (busy) {
        return;
      }
      busy = true;
    }
    submit();
  }

  /**
   * Run a task on the calling thread if that is possible at once; else as {@link #execute} does.
   */
  void dispatch(Runnable task) {
    dispatch(null, task);
  }

  /**
   * Run a task on the calling thread if that is possible at once; else by another executor, which
   * has the calling thread now. No other task runs meanwhile.
   */
  void dispatch(Executor on, Runnable task) {
    Thread caller = Thread.currentThread();
    boolean nested;
    synchronized (this) {
      nested = owner == caller;
      if (busy && !nested) {
        waiting.add(new Task(on, task));
        return;
      }
      busy = true;
      owner = caller;
    }
    if (nested) {
      task.run();
      return;
    }
    runAndRelease(task);
  }

  private void runAndRelease(Runnable task) {
    run(task);
    synchronized (this) {
      owner = null;
      busy = !waiting.isEmpty();
      if (!busy) {
        return;
      }
    }
    submit();
  }

  /** Run a task, and return when it has run; IllegalStateException if it has not after 10 s. */
  void call(Runnable task) {
    call(
        () -> {
          task.run();
          return null;
        });
  }

  /** Run a task and return its result; IllegalStateException when it has none after 10 s. */
  <T> T call(Supplier<T> task) {
    CompletableFuture<T> result = new CompletableFuture<>();
    dispatch(
        () -> {
          try {
            result.complete(task.get());
          } catch (RuntimeException e) {
            result.completeExceptionally(e);
          }
        });
    try {
      return result.get(CALL_TIMEOUT_S, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      throw (RuntimeException) e.getCause();
    } catch (TimeoutException e) {
      throw new IllegalStateException("the device is busy", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("stopping", e);
    }
  }

  private void submit() {
    try {
      pool.execute(drain);
    } catch (RejectedExecutionException e) {
      LOG.debug("the simulator is closing");
    }
  }

  private void drain() {
    for (Task task = next(); task != null; task = next()) {
      if (task.on != null) {
        Runnable work = task.work;
        task.on.execute(() -> runHandedOver(work));
        return;
      }
      run(task.work);
    }
  }

  private void runHandedOver(Runnable work) {
    synchronized (this) {
      owner = Thread.currentThread();
    }
    runAndRelease(work);
  }

  private synchronized Task next() {
    Task task = waiting.poll();
    busy = task != null;
    owner = busy && task.on == null ? Thread.currentThread() : null;
    return task;
  }

  private static void run(Runnable task) {
    try {
      task.run();
    } catch (RuntimeException | Error e) {
      LOG.error("a device's task failed", e);
    }
  }
}
