package io.flownexus.leshan.server.spool;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/** A statement that changes rows, prepared once, and anew after it has failed. */
final class Update {

  private final Connection connection;
  private final String sql;
  private PreparedStatement statement;

  Update(Connection connection, String sql) {
    this.connection = connection;
    this.sql = sql;
  }

  void execute(Object... values) throws SQLException {
    if (statement == null) {
      statement = connection.prepareStatement(sql);
    }
    try {
      for (int i = 0; i < values.length; i++) {
        statement.setObject(i + 1, values[i]);
      }
      statement.executeUpdate();
    } catch (SQLException e) {
      statement.close();
      statement = null;
      throw e;
    }
  }
}
