package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.spool.CommitGroup.Append;
import io.flownexus.leshan.server.spool.CommitGroup.Recall;
import io.flownexus.leshan.server.spool.CommitGroup.Renewal;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.SetAside;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

/** Writes a group into the spool's tables, in the journal's transaction. */
final class GroupWriter {

  /** What the tables have of a group that the lanes have not: a commit brings it there. */
  record Written(
      Map<DiskLane, Chunk> chunks,
      Map<DiskLane, Numbering> renewed,
      Map<Recall, List<SetAside>> recalled) {

    static final Written NOTHING = new Written(Map.of(), Map.of(), Map.of());
  }

  private final DiskLanes lanes;
  private final LaneTable laneTable;
  private final ChunkTable chunkTable;
  private final SetAsideTable setAsideTable;
  private final Receipts receipts;

  GroupWriter(
      DiskLanes lanes,
      LaneTable laneTable,
      ChunkTable chunkTable,
      SetAsideTable setAsideTable,
      Receipts receipts) {
    this.lanes = lanes;
    this.laneTable = laneTable;
    this.chunkTable = chunkTable;
    this.setAsideTable = setAsideTable;
    this.receipts = receipts;
  }

  /** Write a group whose time is now. */
  Written write(CommitGroup group, long now) throws SQLException {
    for (SetAside item : group.setAside()) {
      setAsideTable.insert(item);
    }
    Map<DiskLane, List<byte[]>> items = new LinkedHashMap<>();
    for (Append append : group.appends()) {
      for (Item item : append.items()) {
        add(items, lanes.of(item), item.json());
      }
    }
    Map<Recall, List<SetAside>> recalled = recall(group, items);
    Map<DiskLane, Chunk> chunks = writeChunks(items, now);
    receipts.write(group.messages(), now);
    Map<DiskLane, Numbering> renewed = writeNumberings(group, chunks.keySet());
    updateLanes(group, chunks);
    return new Written(chunks, renewed, recalled);
  }

  private static void add(Map<DiskLane, List<byte[]>> items, DiskLane lane, byte[] json) {
    items.computeIfAbsent(lane, key -> new ArrayList<>()).add(json);
  }

  private Map<Recall, List<SetAside>> recall(CommitGroup group, Map<DiskLane, List<byte[]>> items)
      throws SQLException {
    Map<Recall, List<SetAside>> recalled = new LinkedHashMap<>();
    for (Recall recall : group.recalls()) {
      List<SetAside> again = setAsideTable.take(recall.limit());
      recalled.put(recall, again);
      for (SetAside item : again) {
        add(items, lanes.of(item), item.json().getBytes(StandardCharsets.UTF_8));
      }
    }
    return recalled;
  }

  private Map<DiskLane, Chunk> writeChunks(Map<DiskLane, List<byte[]>> items, long now)
      throws SQLException {
    Map<DiskLane, Chunk> chunks = new HashMap<>();
    for (Map.Entry<DiskLane, List<byte[]>> entry : items.entrySet()) {
      DiskLane lane = entry.getKey();
      Chunk chunk = new Chunk(lane.committed() + 1, now, entry.getValue());
      chunkTable.insert(lane, chunk);
      chunks.put(lane, chunk);
    }
    return chunks;
  }

  private Map<DiskLane, Numbering> writeNumberings(CommitGroup group, Set<DiskLane> grown)
      throws SQLException {
    for (DiskLane lane : grown) {
      if (!lane.numbered()) {
        laneTable.number(lane, lane.numberings());
      }
    }
    Map<DiskLane, Numbering> renewed = new HashMap<>();
    for (Renewal renewal : group.renewals()) {
      DiskLane lane = renewal.lane();
      Numbering numbering = new Numbering(group.done()[lane.id()] + 1, UUID.randomUUID());
      laneTable.number(lane, List.of(numbering));
      renewed.put(lane, numbering);
    }
    return renewed;
  }

  private void updateLanes(CommitGroup group, Map<DiskLane, Chunk> chunks) throws SQLException {
    Set<DiskLane> changed = new HashSet<>(group.trims());
    changed.addAll(chunks.keySet());
    for (DiskLane lane : changed) {
      long done = group.done()[lane.id()];
      if (group.trims().contains(lane)) {
        chunkTable.deleteDone(lane, done);
      }
      Chunk chunk = chunks.get(lane);
      laneTable.update(lane, chunk == null ? lane.committed() : chunk.last(), done);
    }
  }
}
