package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DeviceExecutorTest {
  private final ExecutorService pool = Executors.newFixedThreadPool(4);
  private final DeviceExecutor executor = new DeviceExecutor(pool);
  private int count;

  @AfterEach
  void stop() {
    pool.shutdownNow();
  }

  @Test
  void runs_one_task_at_a_time_however_many_threads_bring_them() throws Exception {
    ExecutorService callers = Executors.newFixedThreadPool(4);
    for (int caller = 0; caller < 4; caller++) {
      callers.execute(
          () -> {
            for (int i = 0; i < 10_000; i++) {
              executor.dispatch(() -> count++);
              executor.execute(() -> count++);
            }
          });
    }
    callers.shutdown();
    assertTrue(callers.awaitTermination(30, TimeUnit.SECONDS));

    TestServer.await(() -> executor.call(() -> count) == 80_000, "80,000 tasks");
  }

  @Test
  void keeps_the_order_of_what_one_thread_brings() {
    List<Integer> ran = new ArrayList<>();
    IntStream.range(0, 1000).forEach(i -> executor.execute(() -> ran.add(i)));

    assertEquals(IntStream.range(0, 1000).boxed().toList(), executor.call(() -> List.copyOf(ran)));
  }

  @Test
  void dispatches_on_the_caller_when_nothing_runs_and_within_its_own_tasks() {
    List<Thread> threads = new ArrayList<>();
    executor.dispatch(
        () -> {
          threads.add(Thread.currentThread());
          executor.dispatch(() -> threads.add(Thread.currentThread()));
          executor.execute(() -> threads.add(Thread.currentThread()));
          assertEquals(2, threads.size());
          assertTrue(executor.isCurrent());
        });

    assertFalse(executor.isCurrent());
    assertSame(Thread.currentThread(), threads.get(0));
    assertSame(Thread.currentThread(), threads.get(1));
    assertEquals(3, executor.call(threads::size));
  }

  @Test
  void hands_a_task_over_to_the_executor_it_belongs_to_while_nothing_else_runs() throws Exception {
    ExecutorService other = Executors.newSingleThreadExecutor(task -> new Thread(task, "other"));
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch over = new CountDownLatch(1);
    List<String> ran = new ArrayList<>();
    executor.execute(
        () -> {
          begun.countDown();
          awaitUninterrupted(over);
        });
    begun.await();
    executor.dispatch(
        other,
        () -> {
          assertTrue(executor.isCurrent());
          executor.dispatch(() -> ran.add(Thread.currentThread().getName()));
        });
    executor.execute(() -> ran.add("after it"));
    over.countDown();

    TestServer.await(() -> executor.call(ran::size) == 2, "both");
    assertEquals(List.of("other", "after it"), executor.call(() -> List.copyOf(ran)));
    other.shutdownNow();
  }

  private static void awaitUninterrupted(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void goes_on_after_a_task_that_failed_and_tells_the_caller_of_its_own() {
    executor.execute(
        () -> {
          throw new IllegalStateException("simulated");
        });
    assertEquals(
        "wrong",
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    executor.call(
                        () -> {
                          throw new IllegalArgumentException("wrong");
                        }))
            .getMessage());
    assertEquals(1, executor.call(() -> 1));
  }
}
