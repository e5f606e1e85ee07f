package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Lane;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.UUID;

/** A lane's numbers, and the oldest of its items in memory, as many as a bound lets. */
final class DiskLane {

  private static final long TAIL_BYTES = 2 << 20;

  private final int id;
  private final Lane lane;
  private final Deque<Chunk> chunks = new ArrayDeque<>();
  private UUID source;
  private long committed;
  private long done;
  private long bytes;
  private boolean behind; // what follows these chunks is on disk only

  DiskLane(int id, Lane lane, UUID source, long committed, long done) {
    this.id = id;
    this.lane = lane;
    this.source = source;
    this.committed = committed;
    this.done = done;
    behind = committed > done;
  }

  int id() {
    return id;
  }

  Lane lane() {
    return lane;
  }

  synchronized UUID source() {
    return source;
  }

  synchronized void source(UUID renewed) {
    source = renewed;
  }

  synchronized long committed() {
    return committed;
  }

  synchronized long done() {
    return done;
  }

  /** Return how many items wait. */
  synchronized long pending() {
    return committed - done;
  }

  /** Return when the oldest item in memory came, or now. */
  synchronized long oldest(long now) {
    return chunks.isEmpty() ? now : chunks.peek().time();
  }

  /** Take a chunk that is on disk now; it stays in memory too while there is room. */
  synchronized void committed(Chunk chunk) {
    committed = chunk.lastSeq();
    if (behind || bytes >= TAIL_BYTES) {
      behind = true;
    } else {
      add(chunk);
    }
  }

  /** Return whether the oldest items are to be read from disk first. */
  synchronized boolean starved() {
    return behind && chunks.isEmpty();
  }

  /** Take chunks read from disk, and return what those of their items that are done count for. */
  synchronized long loaded(List<Chunk> read) {
    read.forEach(this::add);
    behind = committed > (read.isEmpty() ? done : read.get(read.size() - 1).lastSeq());
    return read.isEmpty() ? 0 : cost(read.get(0), read.get(0).firstSeq(), done);
  }

  synchronized Batch peek(int maxItems, int maxBytes) {
    List<byte[]> items = new ArrayList<>();
    long size = 0;
    for (Chunk chunk : chunks) {
      int skipped = (int) Math.max(0, done + 1 - chunk.firstSeq());
      for (byte[] item : chunk.items().subList(skipped, chunk.items().size())) {
        size += item.length;
        if (items.size() == maxItems || (size > maxBytes && !items.isEmpty())) {
          return new Batch(source, lane, done + 1, items);
        }
        items.add(item);
      }
    }
    return items.isEmpty() ? null : new Batch(source, lane, done + 1, items);
  }

  /** Forget items up to a number, and return what they counted for. */
  synchronized long remove(long lastSeq) {
    long freed = 0;
    while (done < lastSeq && !chunks.isEmpty()) {
      Chunk chunk = chunks.peek();
      long end = Math.min(lastSeq, chunk.lastSeq());
      freed += cost(chunk, done + 1, end);
      done = end;
      if (done == chunk.lastSeq()) {
        bytes -= chunks.remove().bytes();
      }
    }
    return freed;
  }

  private static long cost(Chunk chunk, long from, long to) {
    return chunk
        .items()
        .subList((int) (from - chunk.firstSeq()), (int) Math.max(0, to + 1 - chunk.firstSeq()))
        .stream()
        .mapToLong(Chunk::cost)
        .sum();
  }

  private void add(Chunk chunk) {
    chunks.add(chunk);
    bytes += chunk.bytes();
  }
}
