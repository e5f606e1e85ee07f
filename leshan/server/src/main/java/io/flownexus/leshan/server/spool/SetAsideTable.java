package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;

/** The table of items that were set aside. */
final class SetAsideTable {

  private static final String SCHEMA =
      """
      CREATE TABLE IF NOT EXISTS aside (
        kind TEXT, lane INTEGER, source TEXT, seq INTEGER, time INTEGER, reason TEXT, json TEXT,
        PRIMARY KEY (kind, lane, source, seq)) WITHOUT ROWID;
      """;

  private final Database database;
  private final Update insert;
  private final Update delete;

  SetAsideTable(Database database) {
    this.database = database;
    database.define(SCHEMA);
    insert = database.update("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?, ?, ?)");
    delete =
        database.update("DELETE FROM aside WHERE kind = ? AND lane = ? AND source = ? AND seq = ?");
  }

  long count() throws SQLException {
    return number("SELECT count(*) FROM aside");
  }

  /** Return what all items count for. */
  long bytes() throws SQLException {
    return number("SELECT sum(length(json)) FROM aside");
  }

  private long number(String sql) throws SQLException {
    try (PreparedStatement select = database.query(sql);
        ResultSet row = select.executeQuery()) {
      row.next();
      return row.getLong(1);
    }
  }

  void insert(SetAside item) throws SQLException {
    insert.execute(
        item.lane().kind().label(),
        item.lane().number(),
        item.source().toString(),
        item.seq(),
        item.time(),
        item.reason(),
        item.json());
  }

  /** Take the oldest items out, in the journal's transaction. */
  List<SetAside> take(int limit) throws SQLException {
    List<SetAside> items = select(database.connection(), limit);
    for (SetAside item : items) {
      delete.execute(
          item.lane().kind().label(), item.lane().number(), item.source().toString(), item.seq());
    }
    return items;
  }

  /** Read the oldest items; any thread may call this. */
  List<SetAside> read(int limit) {
    try (Connection reader = database.connect()) {
      return select(reader, limit);
    } catch (SQLException e) {
      throw new IllegalStateException("cannot read the spool", e);
    }
  }

  private static List<SetAside> select(Connection connection, int limit) throws SQLException {
    List<SetAside> items = new ArrayList<>();
    try (PreparedStatement select =
        connection.prepareStatement("SELECT * FROM aside ORDER BY time, source, seq LIMIT ?")) {
      select.setInt(1, limit);
      try (ResultSet rows = select.executeQuery()) {
        while (rows.next()) {
          items.add(item(rows));
        }
      }
    }
    return items;
  }

  private static SetAside item(ResultSet row) throws SQLException {
    return new SetAside(
        new Lane(
            WebhookKind.valueOf(row.getString("kind").toUpperCase(Locale.ROOT)),
            row.getInt("lane")),
        UUID.fromString(row.getString("source")),
        row.getLong("seq"),
        row.getLong("time"),
        row.getString("reason"),
        row.getString("json"));
  }
}
