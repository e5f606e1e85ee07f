package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.StartupException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The SQLite database of a spool: one connection that writes, and others that read.
 *
 * <p>The writing one is its opener's until the journal starts, and the journal's thread's then.
 */
final class Database {

  private static final Logger LOG = LoggerFactory.getLogger(Database.class);

  /** The version of the file's tables; 0 is an empty file, or one of before there were versions. */
  private static final int SCHEMA_VERSION = 1;

  private final SpoolFile file;
  private Connection connection; // none after a transaction has failed
  private volatile int synchronous; // as the connection itself says: 2 is FULL

  /** Connect; SQLException when the tables are of a version that is not known here. */
  Database(SpoolFile file) throws SQLException {
    this.file = file;
    try {
      reconnect();
      requireKnownVersion();
    } catch (SQLException e) {
      disconnect();
      throw e;
    }
  }

  /** Return the writing connection. */
  Connection connection() {
    return connection;
  }

  /** Return SQLite's setting as the writing connection has it. */
  int synchronous() {
    return synchronous;
  }

  /** Make a part's tables, or migrate them, before the start; safe to do again. */
  void define(String sql) {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate(sql);
      connection.commit();
    } catch (SQLException e) {
      throw cannotOpen(file, e);
    }
  }

  /** Write down that all parts have brought their tables to this version. */
  void stampVersion() {
    define("PRAGMA user_version = " + SCHEMA_VERSION);
  }

  /** Return a statement for the journal's thread. */
  Update update(String sql) {
    return new Update(this, sql);
  }

  /** Return a query to run before the start. */
  PreparedStatement query(String sql) throws SQLException {
    return connection.prepareStatement(sql);
  }

  /** Open a connection of the caller's own, to read. */
  Connection connect() throws SQLException {
    Connection opened = DriverManager.getConnection("jdbc:sqlite:" + file);
    try (Statement statement = opened.createStatement()) {
      statement.execute("PRAGMA journal_mode = WAL");
      statement.execute("PRAGMA synchronous = FULL");
      statement.execute("PRAGMA busy_timeout = 10000");
    }
    return opened;
  }

  /** Open the writing connection where there is none. */
  void reconnect() throws SQLException {
    if (connection != null) {
      return;
    }
    Connection opened = connect();
    try (Statement statement = opened.createStatement();
        ResultSet row = statement.executeQuery("PRAGMA synchronous")) {
      row.next();
      synchronous = row.getInt(1);
    }
    opened.setAutoCommit(false);
    connection = opened;
  }

  /**
   * Close the writing connection, which takes back what is not committed.
   *
   * <p>After an error it must not go on: the driver does not notice when SQLite itself rolls back,
   * and would write without a transaction.
   */
  void disconnect() {
    try {
      if (connection != null) {
        connection.close();
      }
    } catch (SQLException e) {
      LOG.debug("spool: {}", e.toString());
    }
    connection = null;
  }

  static StartupException cannotOpen(Object file, Exception cause) {
    return new StartupException(
        "cannot open the spool " + file + " (" + cause.getMessage() + ")", cause);
  }

  private void requireKnownVersion() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("PRAGMA user_version")) {
      row.next();
      int version = row.getInt(1);
      if (version > SCHEMA_VERSION) {
        throw new SQLException(
            "its tables are of version %d, and this server knows versions up to %d: start the newer server that made it, or give another file"
                .formatted(version, SCHEMA_VERSION));
      }
    }
  }
}
