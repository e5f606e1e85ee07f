package io.flownexus.leshan.server.spool;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/** A statement that changes rows, prepared once for each connection to the database. */
final class Update {

  private final Database database;
  private final String sql;
  private Connection connection;
  private PreparedStatement statement;

  Update(Database database, String sql) {
    this.database = database;
    this.sql = sql;
  }

  void execute(Object... values) throws SQLException {
    if (connection != database.connection()) {
      connection = database.connection();
      statement = connection.prepareStatement(sql);
    }
    for (int i = 0; i < values.length; i++) {
      statement.setObject(i + 1, values[i]);
    }
    statement.executeUpdate();
  }
}
