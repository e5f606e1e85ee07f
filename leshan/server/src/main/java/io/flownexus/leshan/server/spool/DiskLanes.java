package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.sql.SQLException;
import java.util.Iterator;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** All lanes of a spool, as many of each kind of webhook. */
final class DiskLanes implements Iterable<DiskLane> {

  private final List<DiskLane> lanes; // by their ids
  private final int lanesOfKind;

  private DiskLanes(List<DiskLane> lanes, int lanesOfKind) {
    this.lanes = lanes;
    this.lanesOfKind = lanesOfKind;
  }

  /** Take over the lanes of an earlier life, or make new ones; all that comes is numbered anew. */
  static DiskLanes open(Database database, LaneTable table, ChunkTable chunks, int lanesOfKind)
      throws SQLException {
    UUID source = UUID.randomUUID();
    List<DiskLane> lanes = table.read(source);
    if (lanes.size() != WebhookKind.values().length * lanesOfKind) {
      if (lanes.stream().anyMatch(lane -> lane.pending() > 0)) {
        throw new StartupException(
            "the spool holds items of %d lanes, and an endpoint's would lose their order in %d: start once more with --lanes %1$d, until they are posted"
                .formatted(lanes.size() / WebhookKind.values().length, lanesOfKind));
      }
      // A chunk that is done but still there would be posted as one of the new lane.
      chunks.deleteAll();
      lanes = table.replace(lanesOfKind, source);
      // What a transaction that fails takes back is not theirs.
      database.connection().commit();
    }
    return new DiskLanes(lanes, lanesOfKind);
  }

  DiskLane get(Lane lane) {
    return lanes.get(lane.kind().ordinal() * lanesOfKind + lane.number());
  }

  /** Return the lane that an item goes into. */
  DiskLane of(Item item) {
    return get(Lane.of(item.kind(), item.endpoint(), lanesOfKind));
  }

  /** Return the lane that an item goes into again, which may be of a life with more lanes. */
  DiskLane of(SetAside item) {
    return get(new Lane(item.lane().kind(), item.lane().number() % lanesOfKind));
  }

  /** Return the last position of each lane that is done, by the lanes' ids. */
  long[] done() {
    return lanes.stream().mapToLong(DiskLane::done).toArray();
  }

  /** Return how many items wait. */
  long pending() {
    return lanes.stream().mapToLong(DiskLane::pending).sum();
  }

  /** Return the age of the oldest item in memory. */
  long oldestSeconds() {
    long now = System.currentTimeMillis();
    long oldest = lanes.stream().mapToLong(lane -> lane.oldest(now)).min().orElse(now);
    return TimeUnit.MILLISECONDS.toSeconds(now - oldest);
  }

  @Override
  public Iterator<DiskLane> iterator() {
    return lanes.iterator();
  }
}
