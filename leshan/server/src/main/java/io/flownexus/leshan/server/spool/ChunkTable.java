package io.flownexus.leshan.server.spool;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** The table of chunks: the items of lanes. */
final class ChunkTable {

  private static final String SCHEMA =
      """
      CREATE TABLE IF NOT EXISTS chunk (
        id INTEGER PRIMARY KEY, lane INTEGER, first_seq INTEGER, last_seq INTEGER, time INTEGER,
        bytes INTEGER, items BLOB);
      CREATE INDEX IF NOT EXISTS chunk_lane ON chunk (lane, last_seq, bytes);
      """;
  private static final int READ_BYTES = 1 << 20;

  private final Database database;
  private final Update insert;
  private final Update delete;
  private final Connection reader;
  private final PreparedStatement select;

  ChunkTable(Database database) throws SQLException {
    this.database = database;
    database.define(SCHEMA);
    insert =
        database.update(
            "INSERT INTO chunk (lane, first_seq, last_seq, time, bytes, items)"
                + " VALUES (?, ?, ?, ?, ?, ?)");
    delete = database.update("DELETE FROM chunk WHERE lane = ? AND last_seq <= ?");
    reader = database.connect();
    select =
        reader.prepareStatement(
            "SELECT first_seq, time, items FROM chunk WHERE lane = ? AND last_seq > ?"
                + " ORDER BY last_seq");
  }

  /** Return what the chunks count for that a lane is not done with. */
  long bytes(DiskLane lane) throws SQLException {
    try (PreparedStatement sum =
        database.query("SELECT sum(bytes) FROM chunk WHERE lane = ? AND last_seq > ?")) {
      sum.setInt(1, lane.id());
      sum.setLong(2, lane.done());
      try (ResultSet row = sum.executeQuery()) {
        row.next();
        return row.getLong(1);
      }
    }
  }

  void insert(DiskLane lane, Chunk chunk) throws SQLException {
    insert.execute(
        lane.id(), chunk.first(), chunk.last(), chunk.time(), chunk.bytes(), chunk.lines());
  }

  void deleteDone(DiskLane lane, long done) throws SQLException {
    delete.execute(lane.id(), done);
  }

  void deleteAll() throws SQLException {
    database.update("DELETE FROM chunk").execute();
  }

  /** Read a lane's oldest chunks after a position; any thread may call this. */
  synchronized List<Chunk> read(DiskLane lane, long done) {
    List<Chunk> chunks = new ArrayList<>();
    try {
      select.setInt(1, lane.id());
      select.setLong(2, done);
      try (ResultSet rows = select.executeQuery()) {
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

  /** Close what is read from. */
  synchronized void close() {
    try {
      reader.close();
    } catch (SQLException e) {
      throw new IllegalStateException("cannot close the spool", e);
    }
  }
}
