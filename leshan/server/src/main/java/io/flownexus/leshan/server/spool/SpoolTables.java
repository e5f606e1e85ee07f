package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;

/** The tables of lanes, chunks and items set aside. */
final class SpoolTables {

  private static final String SCHEMA =
      """
      CREATE TABLE IF NOT EXISTS lane (
        id INTEGER PRIMARY KEY, kind TEXT, number INTEGER, committed INTEGER, done INTEGER);
      -- positions of a lane from "since" on are the numbers of "source", from 1 on
      CREATE TABLE IF NOT EXISTS numbering (
        lane INTEGER, since INTEGER, source TEXT, PRIMARY KEY (lane, since)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS chunk (
        id INTEGER PRIMARY KEY, lane INTEGER, first_seq INTEGER, last_seq INTEGER, time INTEGER,
        bytes INTEGER, items BLOB);
      CREATE INDEX IF NOT EXISTS chunk_lane ON chunk (lane, last_seq, bytes);
      CREATE TABLE IF NOT EXISTS aside (
        kind TEXT, lane INTEGER, source TEXT, seq INTEGER, time INTEGER, reason TEXT, json TEXT,
        PRIMARY KEY (kind, lane, source, seq)) WITHOUT ROWID;
      """;
  // Lanes had one source for life, whose numbers were their positions.
  private static final String SOURCE_OF_LANES =
      "SELECT 1 FROM pragma_table_info('lane') WHERE name = 'source'";
  private static final String NUMBER_LANES =
      """
      INSERT INTO numbering SELECT id, 1, source FROM lane;
      ALTER TABLE lane DROP COLUMN source;
      """;
  private static final int READ_BYTES = 1 << 20;

  private static final String SELECT_ASIDE =
      "SELECT * FROM aside ORDER BY time, source, seq LIMIT ?";

  private final Update insertChunk;
  private final Update deleteChunks;
  private final Update updateLane;
  private final Update deleteNumberings;
  private final Update insertNumbering;
  private final Update insertAside;
  private final Update deleteAside;
  private final Connection reader;
  private final PreparedStatement selectChunks;
  private final PreparedStatement selectAside;

  SpoolTables(Journal journal) throws SQLException {
    journal.define(SCHEMA);
    boolean old;
    try (PreparedStatement select = journal.query(SOURCE_OF_LANES);
        ResultSet rows = select.executeQuery()) {
      old = rows.next();
    }
    if (old) {
      journal.define(NUMBER_LANES);
    }
    insertChunk =
        journal.update(
            "INSERT INTO chunk (lane, first_seq, last_seq, time, bytes, items)"
                + " VALUES (?, ?, ?, ?, ?, ?)");
    deleteChunks = journal.update("DELETE FROM chunk WHERE lane = ? AND last_seq <= ?");
    updateLane = journal.update("UPDATE lane SET committed = ?, done = ? WHERE id = ?");
    deleteNumberings = journal.update("DELETE FROM numbering WHERE lane = ?");
    insertNumbering = journal.update("INSERT INTO numbering VALUES (?, ?, ?)");
    insertAside = journal.update("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?, ?, ?)");
    deleteAside =
        journal.update("DELETE FROM aside WHERE kind = ? AND lane = ? AND source = ? AND seq = ?");
    reader = journal.connect();
    selectAside = reader.prepareStatement(SELECT_ASIDE);
    selectChunks =
        reader.prepareStatement(
            "SELECT first_seq, time, items FROM chunk WHERE lane = ? AND last_seq > ?"
                + " ORDER BY last_seq");
  }

  /** Return all lanes as they were left, or new ones; all that comes is numbered anew. */
  DiskLane[] lanes(Journal journal, int lanesOfKind) throws SQLException {
    UUID source = UUID.randomUUID();
    Map<Integer, List<Numbering>> numberings = numberings(journal);
    List<DiskLane> lanes = new ArrayList<>();
    try (PreparedStatement select = journal.query("SELECT * FROM lane ORDER BY id");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        int id = rows.getInt("id");
        lanes.add(
            new DiskLane(
                id,
                new Lane(WebhookKind.valueOf(rows.getString("kind")), rows.getInt("number")),
                numberings.getOrDefault(id, List.of()),
                source,
                rows.getLong("committed"),
                rows.getLong("done")));
      }
    }
    int expected = WebhookKind.values().length * lanesOfKind;
    if (lanes.size() != expected) {
      if (lanes.stream().anyMatch(lane -> lane.pending() > 0)) {
        throw new StartupException(
            "the spool holds items of %d lanes, and an endpoint's would lose their order in %d: start once more with --lanes %1$d, until they are posted"
                .formatted(lanes.size() / WebhookKind.values().length, lanesOfKind));
      }
      lanes = create(journal, lanesOfKind, source);
    }
    return lanes.toArray(new DiskLane[0]);
  }

  private static Map<Integer, List<Numbering>> numberings(Journal journal) throws SQLException {
    Map<Integer, List<Numbering>> numberings = new HashMap<>();
    try (PreparedStatement select =
            journal.query("SELECT lane, since, source FROM numbering ORDER BY lane, since");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        numberings
            .computeIfAbsent(rows.getInt(1), lane -> new ArrayList<>())
            .add(new Numbering(rows.getLong(2), UUID.fromString(rows.getString(3))));
      }
    }
    return numberings;
  }

  /** Return what chunks and items set aside count for, together. */
  long bytes(Journal journal) throws SQLException {
    try (PreparedStatement select =
            journal.query(
                "SELECT (SELECT coalesce(sum(bytes), 0)"
                    + " FROM chunk JOIN lane ON lane.id = chunk.lane WHERE last_seq > done)"
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
        lane.id(), chunk.first(), chunk.last(), chunk.time(), chunk.bytes(), chunk.lines());
  }

  void deleteDone(DiskLane lane, long done) throws SQLException {
    deleteChunks.execute(lane.id(), done);
  }

  void update(DiskLane lane, long committed, long done) throws SQLException {
    updateLane.execute(committed, done, lane.id());
  }

  void number(DiskLane lane, List<Numbering> numberings) throws SQLException {
    deleteNumberings.execute(lane.id());
    for (Numbering numbering : numberings) {
      insertNumbering.execute(lane.id(), numbering.since(), numbering.source().toString());
    }
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

  /** Take the oldest items set aside out of their table, in the journal's transaction. */
  List<SetAside> takeAside(Connection journal, int most) throws SQLException {
    List<SetAside> items;
    try (PreparedStatement select = journal.prepareStatement(SELECT_ASIDE)) {
      items = aside(select, most);
    }
    for (SetAside item : items) {
      deleteAside.execute(
          item.lane().kind().label(), item.lane().number(), item.source().toString(), item.seq());
    }
    return items;
  }

  /** Read the oldest items set aside; any thread may call this. */
  synchronized List<SetAside> readAside(int most) {
    try {
      return aside(selectAside, most);
    } catch (SQLException e) {
      throw new IllegalStateException("cannot read the spool", e);
    }
  }

  private static List<SetAside> aside(PreparedStatement select, int most) throws SQLException {
    List<SetAside> items = new ArrayList<>();
    select.setInt(1, most);
    try (ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        items.add(
            new SetAside(
                new Lane(
                    WebhookKind.valueOf(rows.getString("kind").toUpperCase(Locale.ROOT)),
                    rows.getInt("lane")),
                UUID.fromString(rows.getString("source")),
                rows.getLong("seq"),
                rows.getLong("time"),
                rows.getString("reason"),
                rows.getString("json")));
      }
    }
    return items;
  }

  /** Read a lane's oldest chunks after a position; any thread may call this. */
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

  // All goes: a chunk that is done but still there would be posted as one of the new lane.
  private static List<DiskLane> create(Journal journal, int lanesOfKind, UUID source)
      throws SQLException {
    for (String table : List.of("lane", "chunk", "numbering")) {
      journal.update("DELETE FROM " + table).execute();
    }
    List<DiskLane> lanes = new ArrayList<>();
    Update insert = journal.update("INSERT INTO lane VALUES (?, ?, ?, 0, 0)");
    for (WebhookKind kind : WebhookKind.values()) {
      for (int number = 0; number < lanesOfKind; number++) {
        int id = lanes.size();
        insert.execute(id, kind.name(), number);
        lanes.add(new DiskLane(id, new Lane(kind, number), List.of(), source, 0, 0));
      }
    }
    journal.connection().commit(); // what a transaction that fails takes back is not theirs
    return lanes;
  }
}
