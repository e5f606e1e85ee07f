package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Lane;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.UUID;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A lane's numbers, and the oldest of its items in memory, as many as a bound lets.
 *
 * <p>An item's position in the lane is for life; its number is by the source that it was given
 * under. A source is of one life only: an older copy of the file gives no number anew that the
 * functions have seen.
 */
final class DiskLane {

  private static final Logger LOG = LoggerFactory.getLogger(DiskLane.class);
  private static final long TAIL_BYTES = 2 << 20;

  private final int id;
  private final Lane lane;
  private final Deque<Chunk> chunks = new ArrayDeque<>();
  private final List<Numbering> numberings; // of what waits, oldest first; the last one is in use
  private boolean numbered; // they are on disk
  private long committed;
  private long done;
  private long bytes;
  private boolean behind; // what follows these chunks is on disk only
  private String fault; // why nothing more is posted

  /** Take a lane over, with the numberings of an earlier life, and number anew. */
  DiskLane(int id, Lane lane, List<Numbering> earlier, UUID source, long committed, long done) {
    this.id = id;
    this.lane = lane;
    this.committed = committed;
    this.done = done;
    numberings = new ArrayList<>(earlier);
    numberings.add(new Numbering(committed + 1, source));
    dropDoneNumberings();
    behind = committed > done;
  }

  int id() {
    return id;
  }

  Lane lane() {
    return lane;
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

  /** Return whether the numberings are on disk as they are here. */
  synchronized boolean numbered() {
    return numbered;
  }

  synchronized List<Numbering> numberings() {
    return List.copyOf(numberings);
  }

  /** Hear that the numberings are on disk. */
  synchronized void numberingsCommitted() {
    numbered = true;
  }

  /** Number all that waits anew, as it is on disk now. */
  synchronized void renumber(Numbering renewed) {
    numberings.clear();
    numberings.add(renewed);
    numbered = true;
  }

  /** Return whether a number may have been given: by an earlier life, any. */
  synchronized boolean gave(UUID source, long seq) {
    Numbering own = numberings.get(numberings.size() - 1);
    return !source.equals(own.source()) || seq <= own.seq(committed);
  }

  /** Take a chunk that is on disk now; it stays in memory too while there is room. */
  synchronized void committed(Chunk chunk) {
    if (chunk.first() != committed + 1) {
      stop(chunk, committed);
    }
    committed = chunk.last();
    if (behind || bytes >= TAIL_BYTES) {
      behind = true;
    } else {
      add(chunk);
    }
  }

  /** Return whether the oldest items are to be read from disk first. */
  synchronized boolean starved() {
    return behind && chunks.isEmpty() && fault == null;
  }

  /**
   * Take chunks read from disk, and return what those of their items that are done count for.
   *
   * <p>SQLite may show a chunk before this lane hears of its commit: that one comes by {@link
   * #committed(Chunk)}.
   */
  synchronized long loaded(List<Chunk> read) {
    for (Chunk chunk : read) {
      if (chunk.last() > committed) {
        break;
      }
      add(chunk);
    }
    behind = committed > lastInMemory();
    if (chunks.isEmpty() && behind) {
      stop("the items from %d to %d are not on disk".formatted(done + 1, committed));
    }
    return chunks.isEmpty() ? 0 : cost(chunks.peek(), chunks.peek().first(), done);
  }

  /** Return the oldest items that one source has numbered; throws where the lane has stopped. */
  synchronized Batch peek(int maxItems, int maxBytes) {
    if (fault != null) {
      throw new IllegalStateException("the lane has stopped: " + fault);
    }
    Numbering numbering = numberings.get(0);
    long ofThisSource = numberings.size() == 1 ? maxItems : numberings.get(1).since() - 1 - done;
    long bound = Math.min(maxItems, ofThisSource);
    List<byte[]> items = new ArrayList<>();
    long size = 0;
    for (Chunk chunk : chunks) {
      int skipped = (int) Math.max(0, done + 1 - chunk.first());
      for (byte[] item : chunk.items().subList(skipped, chunk.items().size())) {
        size += item.length;
        if (items.size() == bound || (size > maxBytes && !items.isEmpty())) {
          return new Batch(numbering.source(), lane, numbering.seq(done + 1), items);
        }
        items.add(item);
      }
    }
    return items.isEmpty()
        ? null
        : new Batch(numbering.source(), lane, numbering.seq(done + 1), items);
  }

  /** Forget items up to a number of the oldest one's source, and return what they counted for. */
  synchronized long remove(long lastSeq) {
    long last = numberings.get(0).position(lastSeq);
    long end = numberings.size() == 1 ? committed : numberings.get(1).since() - 1;
    if (last > Math.min(end, lastInMemory())) {
      throw new IllegalArgumentException("number %d was not looked at".formatted(lastSeq));
    }
    long freed = 0;
    while (done < last) {
      Chunk chunk = chunks.peek();
      long until = Math.min(last, chunk.last());
      freed += cost(chunk, done + 1, until);
      done = until;
      if (done == chunk.last()) {
        bytes -= chunks.remove().bytes();
      }
    }
    dropDoneNumberings();
    return freed;
  }

  private static long cost(Chunk chunk, long from, long to) {
    return chunk
        .items()
        .subList((int) (from - chunk.first()), (int) Math.max(0, to + 1 - chunk.first()))
        .stream()
        .mapToLong(Chunk::cost)
        .sum();
  }

  private void dropDoneNumberings() {
    while (numberings.size() > 1 && numberings.get(1).since() <= done + 1) {
      numberings.remove(0);
    }
  }

  private long lastInMemory() {
    return chunks.isEmpty() ? done : chunks.peekLast().last();
  }

  private void add(Chunk chunk) {
    long last = lastInMemory();
    boolean begun = chunks.isEmpty() && chunk.first() <= last && chunk.last() > last;
    if (chunk.first() != last + 1 && !begun) {
      stop(chunk, last);
    }
    if (fault == null) {
      chunks.add(chunk);
      bytes += chunk.bytes();
    }
  }

  private void stop(Chunk chunk, long last) {
    stop("chunk %d to %d does not follow %d".formatted(chunk.first(), chunk.last(), last));
  }

  // What is not understood is neither posted nor removed: it is on disk for the next start.
  private void stop(String reason) {
    if (fault == null) {
      fault = reason;
      LOG.error("spool: {} lane {} stops: {}", lane.kind().label(), lane.number(), reason);
    }
  }
}
