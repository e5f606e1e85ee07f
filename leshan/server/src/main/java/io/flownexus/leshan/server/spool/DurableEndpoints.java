package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.webhook.Intake;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/**
 * The endpoints that have registered before, on disk too.
 *
 * <p>Those that never came over DTLS, and no more for months, are forgotten at a start, so that
 * made-up names do not stay.
 */
public final class DurableEndpoints extends KnownEndpoints implements Journal.Participant {

  private static final int FORGOTTEN_AFTER_DAYS = 90;

  private final Journal journal;
  private final Update put;

  // What has changed since the last transaction; guarded by changes.
  private final Object changes = new Object();
  private Set<String> changed = new HashSet<>();
  private CompletableFuture<Void> safe = new CompletableFuture<>();

  // What is in the transaction; the journal's thread only.
  private Set<String> written = Set.of();
  private CompletableFuture<Void> writtenSafe;

  /** Take over what an earlier life has left. */
  public DurableEndpoints(Journal journal) {
    this.journal = journal;
    Database database = journal.database();
    database.define(
        "CREATE TABLE IF NOT EXISTS endpoint"
            + " (name TEXT PRIMARY KEY, secure INTEGER, day INTEGER) WITHOUT ROWID");
    put = database.update("INSERT OR REPLACE INTO endpoint VALUES (?, ?, ?)");
    try {
      database
          .update("DELETE FROM endpoint WHERE NOT secure AND day < ?")
          .execute(today() - FORGOTTEN_AFTER_DAYS);
      load(database);
    } catch (SQLException e) {
      throw new StartupException("cannot read the spool (" + e.getMessage() + ")", e);
    }
    journal.join(this);
  }

  @Override
  protected void changed(String endpoint) {
    CompletableFuture<Void> stage;
    synchronized (changes) {
      changed.add(endpoint);
      stage = safe;
    }
    Intake.await(stage);
    journal.wake();
  }

  @Override
  public int write() throws SQLException {
    synchronized (changes) {
      written = changed;
      changed = new HashSet<>();
      writtenSafe = safe;
      safe = new CompletableFuture<>();
    }
    for (String endpoint : written) {
      Known now = known.get(endpoint);
      put.execute(endpoint, now.secure(), now.day());
    }
    return 0;
  }

  @Override
  public void committed() {
    writtenSafe.complete(null);
  }

  @Override
  public void failed(Exception reason) {
    synchronized (changes) {
      changed.addAll(written);
      CompletableFuture<Void> earlier = writtenSafe;
      safe.thenAccept(earlier::complete);
    }
  }

  private void load(Database database) throws SQLException {
    try (PreparedStatement select = database.query("SELECT name, secure, day FROM endpoint");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        known.put(rows.getString(1), new Known(rows.getBoolean(2), rows.getLong(3)));
      }
    }
  }
}
