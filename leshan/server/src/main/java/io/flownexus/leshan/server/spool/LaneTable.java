package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The tables of lanes and of their numberings. */
final class LaneTable {

  private static final String SCHEMA =
      """
      CREATE TABLE IF NOT EXISTS lane (
        id INTEGER PRIMARY KEY, kind TEXT, number INTEGER, committed INTEGER, done INTEGER);
      -- positions of a lane from "since" on are the numbers of "source", from 1 on
      CREATE TABLE IF NOT EXISTS numbering (
        lane INTEGER, since INTEGER, source TEXT, PRIMARY KEY (lane, since)) WITHOUT ROWID;
      """;
  // Lanes had one source for life, whose numbers were their positions.
  private static final String SOURCE_OF_LANES =
      "SELECT 1 FROM pragma_table_info('lane') WHERE name = 'source'";
  private static final String NUMBER_LANES =
      """
      INSERT INTO numbering SELECT id, 1, source FROM lane;
      ALTER TABLE lane DROP COLUMN source;
      """;

  private final Database database;
  private final Update updateLane;
  private final Update deleteNumberings;
  private final Update insertNumbering;

  LaneTable(Database database) throws SQLException {
    this.database = database;
    database.define(SCHEMA);
    boolean old;
    try (PreparedStatement select = database.query(SOURCE_OF_LANES);
        ResultSet rows = select.executeQuery()) {
      old = rows.next();
    }
    if (old) {
      database.define(NUMBER_LANES);
    }
    updateLane = database.update("UPDATE lane SET committed = ?, done = ? WHERE id = ?");
    deleteNumberings = database.update("DELETE FROM numbering WHERE lane = ?");
    insertNumbering = database.update("INSERT INTO numbering VALUES (?, ?, ?)");
  }

  /** Return all lanes as they were left; what comes from now on is numbered under this source. */
  List<DiskLane> read(UUID source) throws SQLException {
    Map<Integer, List<Numbering>> numberings = readNumberings();
    List<DiskLane> lanes = new ArrayList<>();
    try (PreparedStatement select = database.query("SELECT * FROM lane ORDER BY id");
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
    return lanes;
  }

  private Map<Integer, List<Numbering>> readNumberings() throws SQLException {
    Map<Integer, List<Numbering>> numberings = new HashMap<>();
    try (PreparedStatement select =
            database.query("SELECT lane, since, source FROM numbering ORDER BY lane, since");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        numberings
            .computeIfAbsent(rows.getInt(1), lane -> new ArrayList<>())
            .add(new Numbering(rows.getLong(2), UUID.fromString(rows.getString(3))));
      }
    }
    return numberings;
  }

  /** Put new lanes, so many of each kind, in the place of all that there are. */
  List<DiskLane> replace(int lanesOfKind, UUID source) throws SQLException {
    database.update("DELETE FROM lane").execute();
    database.update("DELETE FROM numbering").execute();
    List<DiskLane> lanes = new ArrayList<>();
    Update insert = database.update("INSERT INTO lane VALUES (?, ?, ?, 0, 0)");
    for (WebhookKind kind : WebhookKind.values()) {
      for (int number = 0; number < lanesOfKind; number++) {
        int id = lanes.size();
        insert.execute(id, kind.name(), number);
        lanes.add(new DiskLane(id, new Lane(kind, number), List.of(), source, 0, 0));
      }
    }
    return lanes;
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
}
