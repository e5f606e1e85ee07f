package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.spool.CommitGroup.Append;
import io.flownexus.leshan.server.spool.CommitGroup.Recall;
import io.flownexus.leshan.server.spool.CommitGroup.Renewal;
import io.flownexus.leshan.server.spool.GroupWriter.Written;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.Spool;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/** A spool on disk: items are committed before anything else is done with them. */
public final class DiskSpool implements Spool, Journal.Participant {

  private final Journal journal;
  private final SpoolCapacity room;
  private final ChunkTable chunkTable;
  private final SetAsideTable setAsideTable;
  private final Receipts receipts;
  private final DiskLanes lanes;
  private final CommitQueue queue;
  private final GroupWriter writer;
  private final AtomicLong pending = new AtomicLong();
  private final AtomicLong aside = new AtomicLong();
  private final CounterDataPoint known;
  private volatile Consumer<Lane> listener = lane -> {};

  // What is in the transaction; the journal's thread only.
  private CommitGroup group = CommitGroup.EMPTY;
  private Written written = Written.NOTHING;

  /** Take over what an earlier life has left; bound is a number of bytes. */
  public DiskSpool(Journal journal, int lanesOfKind, long bound, Metrics metrics) {
    this.journal = journal;
    room = new SpoolCapacity(bound, metrics);
    try {
      Database database = journal.database();
      LaneTable laneTable = new LaneTable(database);
      chunkTable = new ChunkTable(database);
      setAsideTable = new SetAsideTable(database);
      receipts = new Receipts(database);
      lanes = DiskLanes.open(database, laneTable, chunkTable, lanesOfKind);
      queue = new CommitQueue(lanes);
      writer = new GroupWriter(lanes, laneTable, chunkTable, setAsideTable, receipts);
      for (DiskLane lane : lanes) {
        room.take(chunkTable.bytes(lane));
      }
      room.take(setAsideTable.bytes());
      aside.set(setAsideTable.count());
      pending.set(lanes.pending());
    } catch (SQLException e) {
      throw new StartupException("cannot read the spool (" + e.getMessage() + ")", e);
    }
    known = metrics.duplicateMessages;
    metrics.show(Gauge.SPOOL_SET_ASIDE_ITEMS, aside::get);
    metrics.show(Gauge.SPOOL_OLDEST_SECONDS, lanes::oldestSeconds);
    journal.join(this);
  }

  @Override
  public boolean accepting() {
    return room.free() && journal.ready();
  }

  @Override
  public CompletionStage<Void> append(List<Item> items, MessageId message) {
    Append append = new Append(items, message, new CompletableFuture<>());
    room.take(append.bytes());
    pending.addAndGet(items.size());
    queue.add(append);
    journal.wake();
    return append.safe();
  }

  @Override
  public boolean knows(MessageId message) {
    boolean contained = receipts.contain(message);
    if (contained) {
      known.inc();
    }
    return contained;
  }

  @Override
  public long pending(Lane lane) {
    return lanes.get(lane).pending();
  }

  @Override
  public Batch peek(Lane lane, int maxItems, int maxBytes) {
    DiskLane found = lanes.get(lane);
    if (found.starved()) {
      load(found);
    }
    return found.peek(maxItems, maxBytes);
  }

  // Two may come here for one lane: the first one's chunks are enough.
  private void load(DiskLane lane) {
    synchronized (chunkTable) {
      if (lane.starved()) {
        room.give(lane.loaded(chunkTable.read(lane, lane.done())));
      }
    }
  }

  @Override
  public void remove(Lane lane, long lastSeq) {
    DiskLane found = lanes.get(lane);
    long before = found.done();
    room.give(found.remove(lastSeq));
    pending.addAndGet(before - found.done());
    trim(found);
  }

  @Override
  public void setAside(Lane lane, String reason) {
    Batch oldest = peek(lane, 1, 1);
    DiskLane found = lanes.get(lane);
    String json = new String(oldest.items().get(0), StandardCharsets.UTF_8);
    long now = System.currentTimeMillis();
    SetAside item = new SetAside(lane, oldest.source(), oldest.firstSeq(), now, reason, json);
    room.give(queue.setAside(found, item));
    room.take(json.length());
    pending.decrementAndGet();
    aside.incrementAndGet();
    trim(found);
  }

  private void trim(DiskLane lane) {
    queue.trim(lane);
    journal.wakeSoon();
  }

  @Override
  public List<SetAside> setAside(int limit) {
    return setAsideTable.read(limit);
  }

  @Override
  public CompletionStage<Integer> postSetAside(int limit) {
    Recall recall = new Recall(limit, new CompletableFuture<>());
    queue.add(recall);
    journal.wake();
    return recall.safe();
  }

  @Override
  public boolean gave(Lane lane, UUID source, long seq) {
    return lanes.get(lane).gave(source, seq);
  }

  /** Waits for the commit: no item may go under a name that could be forgotten. */
  @Override
  public void renewSource(Lane lane) {
    Renewal renewal = new Renewal(lanes.get(lane), new CompletableFuture<>());
    queue.add(renewal);
    journal.wake();
    renewal.safe().join();
  }

  @Override
  public long pending() {
    return pending.get();
  }

  @Override
  public void onAppend(Consumer<Lane> newListener) {
    listener = newListener;
    for (DiskLane lane : lanes) {
      if (lane.pending() > 0) {
        newListener.accept(lane.lane());
      }
    }
  }

  /** Close what is read from; the journal closes the rest. */
  public void close() {
    chunkTable.close();
  }

  @Override
  public int write() throws SQLException {
    group = queue.take();
    if (queue.hasAppends()) {
      journal.wake();
    }
    written = writer.write(group, System.currentTimeMillis());
    return group.items();
  }

  @Override
  public void committed() {
    written.recalled().values().forEach(this::countRecalled);
    written.chunks().keySet().forEach(DiskLane::numberingsCommitted);
    written.chunks().forEach(DiskLane::committed);
    written.renewed().forEach(DiskLane::renumber);
    written.chunks().keySet().forEach(lane -> listener.accept(lane.lane()));
    group.complete();
    written.recalled().forEach((recall, items) -> recall.safe().complete(items.size()));
    forgetGroup();
  }

  @Override
  public void failed(Exception reason) {
    queue.putBack(group);
    for (Append append : group.appends()) {
      if (append.comesAgain()) {
        room.give(append.bytes());
        pending.addAndGet(-append.items().size());
      }
    }
    group.fail(reason);
    forgetGroup();
  }

  private void forgetGroup() {
    group = CommitGroup.EMPTY;
    written = Written.NOTHING;
  }

  private void countRecalled(List<SetAside> items) {
    pending.addAndGet(items.size());
    aside.addAndGet(-items.size());
    for (SetAside item : items) {
      room.give(item.json().length());
      room.take(Chunk.cost(item.json().getBytes(StandardCharsets.UTF_8)));
    }
  }
}
