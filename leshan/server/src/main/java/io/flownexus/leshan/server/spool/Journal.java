package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import io.prometheus.metrics.model.snapshots.Unit;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One thread that commits together, over and over, all that waits for the spool's file. */
public final class Journal implements AutoCloseable {

  /** Writes its part of each transaction; the journal's thread makes all calls. */
  interface Participant {

    /** Write what waits, in the open transaction, and return how many items that was. */
    int write() throws SQLException;

    /** Tell those who wait that what was written last is safe. */
    void committed();

    /** Take back what was written last: the transaction did not happen. */
    void failed(Exception reason);
  }

  private static final Logger LOG = LoggerFactory.getLogger(Journal.class);

  // SQLite waits 10 s for a lock, and a disk may take its time.
  private static final long STUCK = TimeUnit.SECONDS.toNanos(60);

  private final SpoolFile file;
  private final Database database;
  private final DiskReserve reserve;
  private final CommitSchedule schedule = new CommitSchedule();
  private final Update probe;
  private final List<Participant> participants = new CopyOnWriteArrayList<>();
  private final Thread thread = new Thread(this::run, "journal");
  private final Metrics metrics;
  private volatile boolean writable = true;
  private volatile boolean ended; // the thread, though nobody has closed the journal
  private volatile long turned = System.nanoTime(); // when it last began a turn

  /** Open or make the file, which no other process may have open. */
  public Journal(Path path, Metrics metrics) {
    this.metrics = metrics;
    try {
      file = new SpoolFile(path);
    } catch (IOException e) {
      throw Database.cannotOpen(path.toAbsolutePath(), e);
    }
    try {
      database = new Database(file);
    } catch (SQLException e) {
      file.close();
      throw Database.cannotOpen(file, e);
    }
    reserve = new DiskReserve(file);
    database.define("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID");
    database.define("INSERT OR IGNORE INTO meta VALUES ('probe', 0)");
    probe = database.update("UPDATE meta SET value = value + 1 WHERE name = 'probe'");
    metrics.show(Gauge.SPOOL_WRITABLE, () -> ready() ? 1 : 0);
    metrics.show(Gauge.SPOOL_SYNCHRONOUS, database::synchronous);
    metrics.show(Gauge.SPOOL_FILE_BYTES, file::bytes);
    thread.setDaemon(true);
  }

  /** Return where participants have their tables. */
  Database database() {
    return database;
  }

  void join(Participant participant) {
    participants.add(participant);
  }

  /** Begin to commit; the participants have made or migrated their tables before. */
  public void start() {
    database.stampVersion();
    thread.start();
  }

  /** Commit what waits, and close the file. */
  @Override
  public void close() {
    schedule.close();
    try {
      thread.join();
      database.disconnect();
      file.close();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Return whether the disk takes what is written, and has more than a reserve left. */
  boolean ready() {
    return writable && reserve.isFree() && !ended;
  }

  /** Say why nothing is committed though the disk may be well; null while all is. */
  public String trouble() {
    if (ended) {
      return "the spool's thread has ended: see the log";
    }
    return System.nanoTime() - turned < STUCK ? null : "the spool's thread has not moved on";
  }

  /** Commit at once. */
  void wake() {
    schedule.wake();
  }

  /** Commit with what comes next, or in a while. */
  void wakeSoon() {
    schedule.wakeSoon();
  }

  private void run() {
    try {
      while (schedule.awaitDue()) {
        commit();
      }
      commit();
    } catch (Throwable e) { // whether the transaction happened, only a new start can tell
      ended = true;
      LOG.error("spool: nothing more is written, devices are refused, start anew after", e);
    }
  }

  private void commit() {
    turned = System.nanoTime();
    int written = 0;
    try {
      database.reconnect();
      for (Participant participant : participants) {
        written += participant.write();
      }
      if (!writable) {
        probe.execute();
      }
      reserve.look(database.connection());
      database.connection().commit();
    } catch (SQLException | RuntimeException e) {
      fail(e);
      return;
    }
    if (written > 0) {
      metrics.spoolCommits.inc();
      metrics.spoolCommittedItems.inc(written);
      metrics.spoolCommitSeconds.observe(Unit.nanosToSeconds(System.nanoTime() - turned));
    }
    schedule.committed(written);
    participants.forEach(Participant::committed);
    if (!writable) {
      writable = true;
      LOG.info("spool: {} can be written again", file);
    }
  }

  private void fail(Exception reason) {
    metrics.spoolFailedCommits.inc();
    if (writable) {
      writable = false;
      LOG.error("spool: cannot write {}, devices are refused: {}", file, reason.toString());
    }
    schedule.failed();
    database.disconnect();
    participants.forEach(participant -> participant.failed(reason));
  }
}
