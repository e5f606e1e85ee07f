package io.flownexus.leshan.server.webhook;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A spool in memory: bounded, and gone with the process. */
public final class MemorySpool implements Spool {

  private static final Logger LOG = LoggerFactory.getLogger(MemorySpool.class);
  private static final int ASIDE_BOUND = 1000;

  private final int lanes;
  private final long bound;
  private final AtomicLong pending = new AtomicLong();
  private final AtomicBoolean refusing = new AtomicBoolean();
  private final Map<WebhookKind, Queue[]> queues = new EnumMap<>(WebhookKind.class);
  private final Deque<SetAside> aside = new ArrayDeque<>();
  private volatile Consumer<Lane> listener = lane -> {};

  /** Make an empty spool with its own source; bound is a number of items. */
  public MemorySpool(int lanes, long bound) {
    this.lanes = lanes;
    this.bound = bound;
    UUID source = UUID.randomUUID();
    for (WebhookKind kind : WebhookKind.values()) {
      Queue[] all = new Queue[lanes];
      for (int i = 0; i < lanes; i++) {
        all[i] = new Queue(source);
      }
      queues.put(kind, all);
    }
  }

  @Override
  public boolean accepting() {
    boolean room = pending.get() < bound;
    if (!room && refusing.compareAndSet(false, true)) {
      LOG.warn("spool full: {} items wait, devices are refused until some are stored", bound);
    }
    return room;
  }

  @Override
  public CompletionStage<Void> append(List<Item> items, MessageId message) {
    for (Item item : items) {
      Lane lane = Lane.of(item.kind(), item.endpoint(), lanes);
      pending.incrementAndGet();
      queue(lane).add(item.json());
      listener.accept(lane);
    }
    return CompletableFuture.completedStage(null);
  }

  @Override
  public boolean knows(MessageId message) {
    return false;
  }

  @Override
  public boolean holds(Lane lane) {
    return queue(lane).holds();
  }

  @Override
  public Batch peek(Lane lane, int maxItems, int maxBytes) {
    return queue(lane).peek(lane, maxItems, maxBytes);
  }

  @Override
  public void remove(Lane lane, long lastSeq) {
    freed(queue(lane).remove(lastSeq));
  }

  @Override
  public void setAside(Lane lane, String reason) {
    SetAside item = queue(lane).setAside(lane, reason);
    synchronized (aside) {
      aside.add(item);
      if (aside.size() > ASIDE_BOUND) {
        aside.remove();
      }
    }
    freed(1);
  }

  @Override
  public boolean gave(Lane lane, UUID source, long seq) {
    return queue(lane).gave(source, seq);
  }

  @Override
  public void renewSource(Lane lane) {
    queue(lane).renewSource();
  }

  @Override
  public long pending() {
    return pending.get();
  }

  @Override
  public void onAppend(Consumer<Lane> newListener) {
    listener = newListener;
  }

  @Override
  public List<SetAside> setAside(int most) {
    synchronized (aside) {
      return aside.stream().limit(most).toList();
    }
  }

  @Override
  public CompletionStage<Integer> postSetAside(int most) {
    List<SetAside> again = new ArrayList<>();
    synchronized (aside) {
      while (again.size() < most && !aside.isEmpty()) {
        again.add(aside.remove());
      }
    }
    for (SetAside item : again) {
      pending.incrementAndGet();
      queue(item.lane()).add(item.json().getBytes(StandardCharsets.UTF_8));
      listener.accept(item.lane());
    }
    return CompletableFuture.completedStage(again.size());
  }

  private void freed(long items) {
    long left = pending.addAndGet(-items);
    if (left < bound && refusing.compareAndSet(true, false)) {
      LOG.info("spool has room again: {} items wait", left);
    }
  }

  private Queue queue(Lane lane) {
    return queues.get(lane.kind())[lane.number()];
  }

  private static final class Queue {

    private final Deque<byte[]> items = new ArrayDeque<>();
    private UUID source;
    private long next = 1;

    Queue(UUID source) {
      this.source = source;
    }

    synchronized void add(byte[] json) {
      items.add(json);
      next++;
    }

    synchronized boolean holds() {
      return !items.isEmpty();
    }

    synchronized Batch peek(Lane lane, int maxItems, int maxBytes) {
      if (items.isEmpty()) {
        return null;
      }
      List<byte[]> batch = new ArrayList<>(Math.min(maxItems, items.size()));
      long bytes = 0;
      for (byte[] item : items) {
        bytes += item.length;
        if (batch.size() == maxItems || (bytes > maxBytes && !batch.isEmpty())) {
          break;
        }
        batch.add(item);
      }
      return new Batch(source, lane, next - items.size(), batch);
    }

    synchronized long remove(long lastSeq) {
      long removed = 0;
      while (!items.isEmpty() && next - items.size() <= lastSeq) {
        items.remove();
        removed++;
      }
      return removed;
    }

    synchronized SetAside setAside(Lane lane, String reason) {
      long seq = next - items.size();
      String json = new String(items.remove(), StandardCharsets.UTF_8);
      return new SetAside(lane, source, seq, System.currentTimeMillis(), reason, json);
    }

    synchronized boolean gave(UUID given, long seq) {
      return !given.equals(source) || seq < next;
    }

    synchronized void renewSource() {
      source = UUID.randomUUID();
    }
  }
}
