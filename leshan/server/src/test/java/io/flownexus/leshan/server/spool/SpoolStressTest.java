package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The spool by many threads through many starts, each with a backlog that posters catch up with.
 *
 * <p>{@code -Dspool.starts=1000} makes more starts than the suite has time for (make spool-stress).
 */
class SpoolStressTest {

  private static final int STARTS = Integer.getInteger("spool.starts", 30);
  private static final int LANES = 2;
  private static final int PRODUCERS = 8;
  private static final int BACKLOG = 3000;
  private static final int MORE = 1600; // come while the backlog is posted
  private static final int UNDER_WAY = 20;
  private static final int JITTER_MICROS = 30_000;
  private static final int PAUSE_NANOS = 1_000_000;
  private static final int ENDPOINTS = 50;

  @TempDir Path folder;
  final Functions functions = new Functions();
  final AtomicInteger given = new AtomicInteger();
  final List<Integer> stored = new ArrayList<>(); // guarded by itself
  final ExecutorService threads = Executors.newCachedThreadPool();

  @Test
  void each_item_is_stored_once_through_all_starts() throws Exception {
    for (int start = 0; start < STARTS; start++) {
      live();
    }
    Metrics metrics = new Metrics();
    try (Journal journal = new Journal(folder.resolve("spool.db"), metrics)) {
      DiskSpool spool = new DiskSpool(journal, LANES, 1L << 30, metrics);
      journal.start();
      post(spool, () -> spool.pending() == 0);
      spool.close();
    }
    threads.shutdown();
    int[] times = new int[given.get()];
    stored.forEach(number -> times[number]++);
    int lost = 0;
    int doubled = 0;
    for (int count : times) {
      lost += count == 0 ? 1 : 0;
      doubled += count > 1 ? 1 : 0;
    }
    System.out.printf(
        "spool: %d starts, %d items: %d lost, %d doubled%n", STARTS, times.length, lost, doubled);
    assertEquals(0, lost, "lost");
    assertEquals(0, doubled, "doubled");
  }

  /** One life: what the last one left is posted while more comes; then more comes that is left. */
  private void live() throws Exception {
    Metrics metrics = new Metrics();
    try (Journal journal = new Journal(folder.resolve("spool.db"), metrics)) {
      journal.join(new Pause());
      DiskSpool spool = new DiskSpool(journal, LANES, 1L << 30, metrics);
      journal.start();
      CountDownLatch appended = new CountDownLatch(PRODUCERS);
      List<Future<?>> producers = produce(spool, MORE, appended);
      post(spool, () -> appended.getCount() == 0);
      for (Future<?> producer : producers) {
        producer.get(60, TimeUnit.SECONDS);
      }
      for (Future<?> producer : produce(spool, BACKLOG, new CountDownLatch(PRODUCERS))) {
        producer.get(60, TimeUnit.SECONDS);
      }
      spool.close();
    }
  }

  private List<Future<?>> produce(DiskSpool spool, int items, CountDownLatch done) {
    List<Future<?>> producers = new ArrayList<>();
    for (int producer = 0; producer < PRODUCERS; producer++) {
      producers.add(
          threads.submit(
              () -> {
                for (int left = items / PRODUCERS; left > 0; left -= UNDER_WAY) {
                  List<CompletableFuture<Void>> safe = new ArrayList<>();
                  for (int i = 0; i < Math.min(left, UNDER_WAY); i++) {
                    safe.add(spool.append(List.of(next()), null).toCompletableFuture());
                  }
                  for (CompletableFuture<Void> one : safe) {
                    one.get(60, TimeUnit.SECONDS);
                  }
                }
                done.countDown();
                return null;
              }));
    }
    return producers;
  }

  private Item next() {
    int number = given.getAndIncrement();
    WebhookKind kind = WebhookKind.values()[number % WebhookKind.values().length];
    byte[] json = ("{\"n\":" + number + "}").getBytes(StandardCharsets.US_ASCII);
    return new Item(kind, "ep-" + number % ENDPOINTS, json);
  }

  /** Post all lanes, each by a thread of its own, until the end has come and nothing is left. */
  private void post(DiskSpool spool, Callable<Boolean> end) throws Exception {
    List<Future<?>> posters = new ArrayList<>();
    for (WebhookKind kind : WebhookKind.values()) {
      for (int number = 0; number < LANES; number++) {
        Lane lane = new Lane(kind, number);
        posters.add(threads.submit(() -> post(spool, lane, end)));
      }
    }
    for (Future<?> poster : posters) {
      poster.get(120, TimeUnit.SECONDS);
    }
  }

  private Void post(DiskSpool spool, Lane lane, Callable<Boolean> end) throws Exception {
    // What is left is read from disk once: at a moment when transactions are being committed.
    TimeUnit.MICROSECONDS.sleep(ThreadLocalRandom.current().nextInt(JITTER_MICROS));
    while (true) {
      boolean last = end.call();
      Batch batch = spool.peek(lane, 100, 1 << 20);
      if (batch != null) {
        keep(functions.store(batch));
        spool.remove(lane, batch.lastSeq());
      } else if (last) {
        return null;
      } else {
        Thread.yield();
      }
    }
  }

  private void keep(List<byte[]> items) {
    synchronized (stored) {
      for (byte[] json : items) {
        String digits = new String(json, 5, json.length - 6, StandardCharsets.US_ASCII);
        stored.add(Integer.valueOf(digits));
      }
    }
  }

  /** Holds the journal's thread where a transaction is on disk, and nobody is told of it yet. */
  private static final class Pause implements Journal.Participant {

    @Override
    public int write() {
      return 0;
    }

    @Override
    public void committed() {
      LockSupport.parkNanos(ThreadLocalRandom.current().nextInt(PAUSE_NANOS));
    }

    @Override
    public void failed(Exception reason) {}
  }
}
