package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.StartupException;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A SQLite file with one writing thread, which commits together all that waits, over and over. */
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

  /** The version of the file's tables; 0 is an empty file, or one of before there were versions. */
  private static final int SCHEMA_VERSION = 1;

  private static final long TICK = TimeUnit.SECONDS.toNanos(1);
  private static final long SOON = TimeUnit.MILLISECONDS.toNanos(100);
  private static final long RETRY = TimeUnit.MILLISECONDS.toNanos(500);
  private static final long LOOK = TimeUnit.MILLISECONDS.toNanos(200);
  // SQLite waits 10 s for a lock, and a disk may take its time.
  private static final long STUCK = TimeUnit.SECONDS.toNanos(60);
  // After a large group more is on its way: gathering it for a moment makes larger groups.
  private static final int BUSY = 8;
  private static final long LINGER = TimeUnit.MILLISECONDS.toNanos(2);
  // Kept free for the write-ahead log, without which nothing could be removed from a full disk.
  private static final long RESERVE = 16 << 20;

  private final Path file;
  private final FileChannel lockFile;
  private final File folder;
  private final long reserve;
  private final Update probe;
  private final List<Participant> participants = new CopyOnWriteArrayList<>();
  private final Thread thread = new Thread(this::run, "journal");
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final LongAdder commits;
  private final LongAdder items;
  private final LongAdder failures;
  private long due = System.nanoTime();
  private long notBefore = due;
  private long looked = due - LOOK;
  private boolean closed;
  private Connection connection; // none after a transaction has failed
  private volatile int synchronous; // as the connection itself says: 2 is FULL
  private volatile boolean writable = true;
  private volatile boolean roomy = true;
  private volatile boolean ended; // the thread, though nobody has closed the journal
  private volatile long turned = due; // when it last began a turn

  /** Open or make the file, which no other process may have open. */
  public Journal(Path file, Metrics metrics) {
    this.file = file.toAbsolutePath();
    try {
      Files.createDirectories(this.file.getParent(), ownersOnly("rwx------"));
      lockFile = lock(keepToOwner(sibling(".lock")));
      keepToOwner(this.file);
      for (String ending : List.of("-wal", "-shm")) { // SQLite makes them like the file
        if (Files.exists(sibling(ending))) {
          keepToOwner(sibling(ending));
        }
      }
      // By its path: a FileStore needs the mount point, which a container need not show.
      folder = this.file.getParent().toFile();
      reserve = Math.min(RESERVE, folder.getTotalSpace() / 4);
      clearLibraries(sibling(".native"));
      connection = connectToWrite();
      try (Statement statement = connection.createStatement()) {
        requireKnown(statement);
        statement.executeUpdate(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID");
        statement.executeUpdate("INSERT OR IGNORE INTO meta VALUES ('probe', 0)");
        connection.commit();
      }
      probe = update("UPDATE meta SET value = value + 1 WHERE name = 'probe'");
    } catch (IOException | SQLException e) {
      disconnect();
      throw cannotOpen(e);
    }
    commits = metrics.counter("spool_commits_total", "", "Transactions committed.");
    items = metrics.counter("spool_committed_items_total", "", "Items committed.");
    failures = metrics.counter("spool_commit_failures_total", "", "Transactions that failed.");
    metrics.gauge("spool_writable", "", "0 while the disk takes nothing.", () -> ready() ? 1 : 0);
    metrics.gauge("spool_synchronous", "", "SQLite's synchronous: 2 is FULL.", () -> synchronous);
    metrics.gauge("spool_file_bytes", "", "Spool file and its log.", this::fileBytes);
    thread.setDaemon(true);
  }

  /** Begin to commit; the parts have brought their tables to this version before. */
  public void start() {
    define("PRAGMA user_version = " + SCHEMA_VERSION);
    thread.start();
  }

  /** Make a part's tables, or migrate them, before the start; safe to do again. */
  void define(String sql) {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate(sql);
      connection.commit();
    } catch (SQLException e) {
      throw cannotOpen(e);
    }
  }

  private void requireKnown(Statement statement) throws SQLException {
    try (ResultSet row = statement.executeQuery("PRAGMA user_version")) {
      row.next();
      int version = row.getInt(1);
      if (version > SCHEMA_VERSION) {
        throw new SQLException(
            "its tables are of version %d, and this server knows versions up to %d: start the newer server that made it, or give another file"
                .formatted(version, SCHEMA_VERSION));
      }
    }
  }

  private StartupException cannotOpen(Exception cause) {
    return new StartupException(
        "cannot open the spool " + file + " (" + cause.getMessage() + ")", cause);
  }

  /** Commit what waits, and close the file. */
  @Override
  public void close() {
    lock.lock();
    try {
      closed = true;
      changed.signal();
    } finally {
      lock.unlock();
    }
    try {
      thread.join();
      disconnect();
      lockFile.close();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (IOException e) {
      LOG.warn("spool: {}", e.toString());
    }
  }

  /** Return whether the disk takes what is written, and has more than a reserve left. */
  boolean ready() {
    return writable && roomy && !ended;
  }

  /** Say why nothing is committed though the disk may be well; null while all is. */
  public String trouble() {
    if (ended) {
      return "the spool's thread has ended: see the log";
    }
    return System.nanoTime() - turned < STUCK ? null : "the spool's thread has not moved on";
  }

  void join(Participant participant) {
    participants.add(participant);
  }

  Connection connection() {
    return connection;
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

  private Connection connectToWrite() throws SQLException {
    Connection opened = connect();
    try (Statement statement = opened.createStatement();
        ResultSet row = statement.executeQuery("PRAGMA synchronous")) {
      row.next();
      synchronous = row.getInt(1);
    }
    opened.setAutoCommit(false);
    return opened;
  }

  /** Write at once. */
  void wake() {
    wake(System.nanoTime());
  }

  /** Write with what comes next, or in a while. */
  void wakeSoon() {
    wake(System.nanoTime() + SOON);
  }

  private void wake(long when) {
    lock.lock();
    try {
      if (when - due < 0) {
        due = when;
        changed.signal();
      }
    } finally {
      lock.unlock();
    }
  }

  private void run() {
    try {
      while (awaitWork()) {
        commit();
      }
      commit();
    } catch (Throwable e) { // whether the transaction happened, only a new start can tell
      ended = true;
      LOG.error("spool: nothing more is written, devices are refused, start anew after", e);
    }
  }

  private boolean awaitWork() throws InterruptedException {
    lock.lock();
    try {
      while (!closed) {
        long now = System.nanoTime();
        long left = Math.max(due - now, notBefore - now);
        if (left <= 0) {
          due = now + TICK;
          return true;
        }
        changed.awaitNanos(left);
      }
      return false;
    } finally {
      lock.unlock();
    }
  }

  private void commit() {
    turned = System.nanoTime();
    int written = 0;
    try {
      if (connection == null) {
        connection = connectToWrite();
      }
      for (Participant participant : participants) {
        written += participant.write();
      }
      if (!writable) {
        probe.execute();
      }
      if (System.nanoTime() - looked >= LOOK) {
        look();
      }
      connection.commit();
    } catch (SQLException | RuntimeException e) {
      fail(e);
      return;
    }
    commits.add(written > 0 ? 1 : 0);
    items.add(written);
    notBefore = System.nanoTime() + (written >= BUSY ? LINGER : 0);
    participants.forEach(Participant::committed);
    if (!writable) {
      writable = true;
      LOG.info("spool: {} can be written again", file);
    }
  }

  private void fail(Exception reason) {
    failures.increment();
    if (writable) {
      writable = false;
      LOG.error("spool: cannot write {}, devices are refused: {}", file, reason.toString());
    }
    notBefore = System.nanoTime() + RETRY;
    disconnect();
    participants.forEach(participant -> participant.failed(reason));
  }

  // The driver does not notice when SQLite itself rolls back, and would write without a
  // transaction.
  private void disconnect() {
    try {
      if (connection != null) {
        connection.close();
      }
    } catch (SQLException e) {
      LOG.debug("spool: {}", e.toString());
    }
    connection = null;
  }

  // Pages that the file no longer needs are as good as room on the disk.
  private void look() throws SQLException {
    looked = System.nanoTime();
    try (Statement statement = connection.createStatement();
        ResultSet row =
            statement.executeQuery(
                "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")) {
      row.next();
      boolean enough = row.getLong(1) + folder.getUsableSpace() >= reserve;
      if (roomy && !enough) {
        LOG.error("spool: the disk of {} is full but for its reserve, devices are refused", file);
      } else if (!roomy && enough) {
        LOG.info("spool: the disk of {} has room again", file);
      }
      roomy = enough;
    }
  }

  private long fileBytes() {
    return file.toFile().length() + sibling("-wal").toFile().length();
  }

  private Path sibling(String ending) {
    return file.resolveSibling(file.getFileName() + ending);
  }

  // What devices said is nobody else's. A folder that is there already is its owner's to close.
  private static Path keepToOwner(Path path) throws IOException {
    FileAttribute<Set<PosixFilePermission>> permissions = ownersOnly("rw-------");
    try {
      return Files.createFile(path, permissions);
    } catch (FileAlreadyExistsException e) {
      return Files.setPosixFilePermissions(path, permissions.value());
    }
  }

  private static FileAttribute<Set<PosixFilePermission>> ownersOnly(String permissions) {
    return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions));
  }

  private static FileChannel lock(Path path) throws IOException {
    FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    try {
      FileLock held = channel.tryLock();
      if (held != null) {
        return channel;
      }
    } catch (OverlappingFileLockException e) {
      LOG.debug("{} is open in this very process", path);
    }
    channel.close();
    throw new IOException("another server has it open");
  }

  // The driver unpacks its library at each start; a killed process leaves it behind.
  private static void clearLibraries(Path folder) throws IOException {
    if (System.getProperty("org.sqlite.tmpdir") != null) {
      return;
    }
    Files.createDirectories(folder, ownersOnly("rwx------"));
    try (Stream<Path> old = Files.list(folder)) {
      for (Path path : old.toList()) {
        Files.delete(path);
      }
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    System.setProperty("org.sqlite.tmpdir", folder.toString());
  }
}
