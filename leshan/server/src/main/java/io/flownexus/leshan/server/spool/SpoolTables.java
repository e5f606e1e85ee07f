package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.StartupException;
import io.flownexus.leshan.server.webhook.Kind;
import io.flownexus.leshan.server.webhook.Lane;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/** The tables of lanes, chunks and items set aside. */
final class SpoolTables {

  private static final int READ_BYTES = 1 << 20;

  private final Update insertChunk;
  private final Update deleteChunks;
  private final Update updateLane;
  private final Update insertAside;
  private final Connection reader;
  private final PreparedStatement selectChunks;

  SpoolTables(Journal journal) throws SQLException {
    insertChunk =
        journal.update(
            "INSERT INTO chunk (lane, first_seq, last_seq, time, bytes, items)"
                + " VALUES (?, ?, ?, ?, ?, ?)");
    deleteChunks = journal.update("DELETE FROM chunk WHERE lane = ? AND last_seq <= ?");
    updateLane = journal.update("UPDATE lane SET source = ?, committed = ?, done = ? WHERE id = ?");
    insertAside = journal.update("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?, ?, ?)");
    reader = journal.connect();
    selectChunks =
        reader.prepareStatement(
            "SELECT first_seq, time, items FROM chunk WHERE lane = ? AND last_seq > ?"
                + " ORDER BY last_seq");
  }

  /** Return all lanes as they were left, or new ones of a new source. */
  DiskLane[] lanes(Journal journal, int lanesOfKind) throws SQLException {
    List<DiskLane> lanes = new ArrayList<>();
    try (PreparedStatement select = journal.query("SELECT * FROM lane ORDER BY id");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        lanes.add(
            new DiskLane(
                rows.getInt("id"),
                new Lane(Kind.valueOf(rows.getString("kind")), rows.getInt("number")),
                UUID.fromString(rows.getString("source")),
                rows.getLong("committed"),
                rows.getLong("done")));
      }
    }
    int expected = Kind.values().length * lanesOfKind;
    if (lanes.size() != expected) {
      if (lanes.stream().anyMatch(lane -> lane.pending() > 0)) {
        throw new StartupException(
            "the spool holds items of %d lanes, and an endpoint's would lose their order in %d: start once more with --lanes %1$d, until they are posted"
                .formatted(lanes.size() / Kind.values().length, lanesOfKind));
      }
      lanes = create(journal, lanesOfKind);
    }
    return lanes.toArray(new DiskLane[0]);
  }

  /** Return what chunks and items set aside count for, together. */
  long bytes(Journal journal) throws SQLException {
    try (PreparedStatement select =
            journal.query(
                "SELECT (SELECT coalesce(sum(bytes), 0) FROM chunk)"
                    + " + (SELECT coalesce(sum(length(json)), 0) FROM aside)");
        ResultSet row = select.executeQuery()) {
      row.next();
      return row.getLong(1);
    }
  }

  /** Return how many items are set aside. */
  long setAside(Journal journal) throws SQLException {
    try (PreparedStatement select = journal.query("SELECT count(*) FROM aside");
        ResultSet row = select.executeQuery()) {
      row.next();
      return row.getLong(1);
    }
  }

  void insert(DiskLane lane, Chunk chunk) throws SQLException {
    insertChunk.execute(
        lane.id(), chunk.firstSeq(), chunk.lastSeq(), chunk.time(), chunk.bytes(), chunk.lines());
  }

  void deleteDone(DiskLane lane, long done) throws SQLException {
    deleteChunks.execute(lane.id(), done);
  }

  void update(DiskLane lane, UUID source, long committed, long done) throws SQLException {
    updateLane.execute(source.toString(), committed, done, lane.id());
  }

  void insert(SetAside item) throws SQLException {
    insertAside.execute(
        item.lane().kind().label(),
        item.lane().number(),
        item.source().toString(),
        item.seq(),
        item.time(),
        item.reason(),
        item.json());
  }

  /** Read a lane's oldest chunks after a number; only this may any thread call. */
  synchronized List<Chunk> read(DiskLane lane, long done) {
    List<Chunk> chunks = new ArrayList<>();
    try {
      selectChunks.setInt(1, lane.id());
      selectChunks.setLong(2, done);
      try (ResultSet rows = selectChunks.executeQuery()) {
        for (long bytes = 0; bytes < READ_BYTES && rows.next(); ) {
          Chunk chunk = Chunk.of(rows.getLong(1), rows.getLong(2), rows.getBytes(3));
          bytes += chunk.bytes();
          chunks.add(chunk);
        }
      }
    } catch (SQLException e) {
      throw new IllegalStateException("cannot read the spool", e);
    }
    return chunks;
  }

  synchronized void close() {
    try {
      reader.close();
    } catch (SQLException e) {
      throw new IllegalStateException("cannot close the spool", e);
    }
  }

  private static List<DiskLane> create(Journal journal, int lanesOfKind) throws SQLException {
    List<DiskLane> lanes = new ArrayList<>();
    UUID source = UUID.randomUUID();
    journal.update("DELETE FROM lane").execute();
    Update insert = journal.update("INSERT INTO lane VALUES (?, ?, ?, ?, 0, 0)");
    for (Kind kind : Kind.values()) {
      for (int number = 0; number < lanesOfKind; number++) {
        int id = lanes.size();
        insert.execute(id, kind.name(), number, source.toString());
        lanes.add(new DiskLane(id, new Lane(kind, number), source, 0, 0));
      }
    }
    return lanes;
  }
}
