package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.Spool;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;

/** A spool on disk: items are committed before anything else is done with them. */
public final class DiskSpool implements Spool, Journal.Participant {

  private static final int GROUP = 4096;

  private record Append(List<Item> items, MessageId message, CompletableFuture<Void> safe) {

    long bytes() {
      return items.stream().mapToLong(item -> Chunk.cost(item.json())).sum();
    }
  }

  private record Renewal(DiskLane lane, CompletableFuture<Void> safe) {}

  private record Recall(int most, CompletableFuture<Integer> safe) {}

  private final Journal journal;
  private final SpoolTables tables;
  private final Receipts receipts;
  private final SpoolCapacity room;
  private final DiskLane[] lanes;
  private final int lanesOfKind;
  private final AtomicLong pending = new AtomicLong();
  private final AtomicLong aside = new AtomicLong();
  private final LongAdder known;
  private volatile Consumer<Lane> listener = lane -> {};

  // What waits for the next transaction; guarded by this.
  private List<Append> appends = new ArrayList<>();
  private List<Renewal> renewals = new ArrayList<>();
  private List<SetAside> asides = new ArrayList<>();
  private Set<DiskLane> trims = new HashSet<>();
  private List<Recall> recalls = new ArrayList<>();

  // What is in the transaction; the journal's thread only.
  private List<Append> group = List.of();
  private List<Renewal> renewing = List.of();
  private List<SetAside> leaving = List.of();
  private Set<DiskLane> trimming = Set.of();
  private List<Recall> recalling = List.of();
  private final Map<Recall, List<SetAside>> recalled = new LinkedHashMap<>();
  private final long[] done; // by a lane's id, at the beginning of the transaction
  private final Map<DiskLane, Chunk> chunks = new HashMap<>();
  private final Map<DiskLane, Numbering> renewed = new HashMap<>();

  /** Take over what an earlier life has left; bound is a number of bytes. */
  public DiskSpool(Journal journal, int lanesOfKind, long bound, Metrics metrics) {
    this.journal = journal;
    this.lanesOfKind = lanesOfKind;
    room = new SpoolCapacity(bound, metrics);
    try {
      tables = new SpoolTables(journal);
      receipts = new Receipts(journal);
      lanes = tables.lanes(journal, lanesOfKind);
      done = new long[lanes.length];
      room.take(tables.bytes(journal));
      aside.set(tables.setAside(journal));
    } catch (SQLException e) {
      throw new StartupException("cannot read the spool (" + e.getMessage() + ")", e);
    }
    for (DiskLane lane : lanes) {
      pending.addAndGet(lane.pending());
    }
    known = metrics.counter("duplicates_total", "", "Messages that an earlier life had kept.");
    metrics.gauge("spool_set_aside_items", "", "Items no function takes.", aside::get);
    metrics.gauge("spool_oldest_seconds", "", "Age of the oldest item.", this::oldestSeconds);
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
    synchronized (this) {
      appends.add(append);
    }
    journal.wake();
    return append.safe;
  }

  @Override
  public boolean knows(MessageId message) {
    boolean contained = receipts.contain(message);
    if (contained) {
      known.increment();
    }
    return contained;
  }

  @Override
  public long pending(Lane lane) {
    return find(lane).pending();
  }

  @Override
  public Batch peek(Lane lane, int maxItems, int maxBytes) {
    DiskLane found = find(lane);
    if (found.starved()) {
      load(found);
    }
    return found.peek(maxItems, maxBytes);
  }

  @Override
  public void remove(Lane lane, long lastSeq) {
    DiskLane found = find(lane);
    long before = found.done();
    room.give(found.remove(lastSeq));
    pending.addAndGet(before - found.done());
    trim(found);
  }

  @Override
  public void setAside(Lane lane, String reason) {
    Batch oldest = peek(lane, 1, 1);
    DiskLane found = find(lane);
    String json = new String(oldest.items().get(0), StandardCharsets.UTF_8);
    long now = System.currentTimeMillis();
    synchronized (this) { // it leaves the lane in the transaction that sets it aside
      asides.add(new SetAside(lane, oldest.source(), oldest.firstSeq(), now, reason, json));
      room.give(found.remove(oldest.firstSeq()));
    }
    room.take(json.length());
    pending.decrementAndGet();
    aside.incrementAndGet();
    trim(found);
  }

  @Override
  public List<SetAside> setAside(int most) {
    return tables.readAside(most);
  }

  @Override
  public CompletionStage<Integer> postSetAside(int most) {
    Recall recall = new Recall(most, new CompletableFuture<>());
    synchronized (this) {
      recalls.add(recall);
    }
    journal.wake();
    return recall.safe;
  }

  @Override
  public boolean gave(Lane lane, UUID source, long seq) {
    return find(lane).gave(source, seq);
  }

  /** Waits for the commit: no item may go under a name that could be forgotten. */
  @Override
  public void renewSource(Lane lane) {
    Renewal renewal = new Renewal(find(lane), new CompletableFuture<>());
    synchronized (this) {
      renewals.add(renewal);
    }
    journal.wake();
    renewal.safe.join();
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
    tables.close();
  }

  @Override
  public int write() throws SQLException {
    take();
    long now = System.currentTimeMillis();
    for (SetAside item : leaving) {
      tables.insert(item);
    }
    Map<DiskLane, List<byte[]>> items = new LinkedHashMap<>();
    int count = 0;
    for (Append append : group) {
      for (Item item : append.items) {
        Lane lane = Lane.of(item.kind(), item.endpoint(), lanesOfKind);
        items.computeIfAbsent(find(lane), key -> new ArrayList<>()).add(item.json());
        count++;
      }
    }
    for (Recall recall : recalling) {
      List<SetAside> again = tables.takeAside(journal.connection(), recall.most);
      recalled.put(recall, again);
      for (SetAside item : again) { // of a life with more lanes, perhaps
        Lane lane = new Lane(item.lane().kind(), item.lane().number() % lanesOfKind);
        byte[] json = item.json().getBytes(StandardCharsets.UTF_8);
        items.computeIfAbsent(find(lane), key -> new ArrayList<>()).add(json);
      }
    }
    for (Map.Entry<DiskLane, List<byte[]>> entry : items.entrySet()) {
      DiskLane lane = entry.getKey();
      Chunk chunk = new Chunk(lane.committed() + 1, now, entry.getValue());
      tables.insert(lane, chunk);
      chunks.put(lane, chunk);
    }
    receipts.write(group.stream().map(Append::message).filter(Objects::nonNull).toList(), now);
    updateLanes();
    return count;
  }

  @Override
  public void committed() {
    recalled.forEach((recall, items) -> countAgain(items));
    chunks.keySet().forEach(DiskLane::numberingsCommitted);
    chunks.forEach(DiskLane::committed);
    renewed.forEach(DiskLane::renumber);
    chunks.keySet().forEach(lane -> listener.accept(lane.lane()));
    group.forEach(append -> append.safe.complete(null));
    renewing.forEach(renewal -> renewal.safe.complete(null));
    recalled.forEach((recall, items) -> recall.safe.complete(items.size()));
    forget();
  }

  @Override
  public void failed(Exception reason) {
    List<Append> refused = group.stream().filter(append -> append.message != null).toList();
    synchronized (this) {
      List<Append> again =
          new ArrayList<>(group.stream().filter(append -> append.message == null).toList());
      again.addAll(appends);
      appends = again;
      asides.addAll(leaving);
      trims.addAll(trimming);
    }
    for (Append append : refused) {
      room.give(append.bytes());
      pending.addAndGet(-append.items.size());
      append.safe.completeExceptionally(reason);
    }
    renewing.forEach(renewal -> renewal.safe.completeExceptionally(reason));
    recalling.forEach(recall -> recall.safe.completeExceptionally(reason));
    forget();
  }

  private synchronized void take() {
    if (appends.size() <= GROUP) {
      group = appends;
      appends = new ArrayList<>();
    } else {
      group = new ArrayList<>(appends.subList(0, GROUP));
      appends = new ArrayList<>(appends.subList(GROUP, appends.size()));
      journal.wake();
    }
    renewing = renewals;
    renewals = new ArrayList<>();
    leaving = asides;
    asides = new ArrayList<>();
    trimming = trims;
    trims = new HashSet<>();
    recalling = recalls;
    recalls = new ArrayList<>();
    for (DiskLane lane : lanes) {
      done[lane.id()] = lane.done();
    }
  }

  private void updateLanes() throws SQLException {
    for (DiskLane lane : chunks.keySet()) {
      if (!lane.numbered()) {
        tables.number(lane, lane.numberings());
      }
    }
    for (Renewal renewal : renewing) {
      Numbering numbering = new Numbering(done[renewal.lane.id()] + 1, UUID.randomUUID());
      tables.number(renewal.lane, List.of(numbering));
      renewed.put(renewal.lane, numbering);
    }
    Set<DiskLane> changed = new HashSet<>(trimming);
    changed.addAll(chunks.keySet());
    for (DiskLane lane : changed) {
      if (trimming.contains(lane)) {
        tables.deleteDone(lane, done[lane.id()]);
      }
      Chunk chunk = chunks.get(lane);
      tables.update(lane, chunk == null ? lane.committed() : chunk.last(), done[lane.id()]);
    }
  }

  private void forget() {
    group = List.of();
    renewing = List.of();
    leaving = List.of();
    trimming = Set.of();
    recalling = List.of();
    recalled.clear();
    chunks.clear();
    renewed.clear();
  }

  private void countAgain(List<SetAside> items) {
    pending.addAndGet(items.size());
    aside.addAndGet(-items.size());
    for (SetAside item : items) {
      room.give(item.json().length());
      room.take(Chunk.cost(item.json().getBytes(StandardCharsets.UTF_8)));
    }
  }

  private void trim(DiskLane lane) {
    synchronized (this) {
      trims.add(lane);
    }
    journal.wakeSoon();
  }

  // Two may come here for one lane: the first one's chunks are enough.
  private void load(DiskLane lane) {
    synchronized (tables) {
      if (lane.starved()) {
        room.give(lane.loaded(tables.read(lane, lane.done())));
      }
    }
  }

  private DiskLane find(Lane lane) {
    return lanes[lane.kind().ordinal() * lanesOfKind + lane.number()];
  }

  private long oldestSeconds() {
    long now = System.currentTimeMillis();
    long oldest = now;
    for (DiskLane lane : lanes) {
      oldest = Math.min(oldest, lane.oldest(now));
    }
    return TimeUnit.MILLISECONDS.toSeconds(now - oldest);
  }
}
