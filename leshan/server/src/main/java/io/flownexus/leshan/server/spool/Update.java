package io.flownexus.leshan.server.spool;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/** A statement that changes rows, prepared once for each connection that the journal opens. */
final class Update {

  private final Journal journal;
  private final String sql;
  private Connection connection;
  private PreparedStatement statement;

  Update(Journal journal, String sql) {
    this.journal = journal;
    this.sql = sql;
  }

  void execute(Object... values) throws SQLException {
    if (connection != journal.connection()) {
      connection = journal.connection();
      statement = connection.prepareStatement(sql);
    }
    for (int i = 0; i < values.length; i++) {
      statement.setObject(i + 1, values[i]);
    }
    statement.executeUpdate();
  }
}
