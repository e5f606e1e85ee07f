package io.flownexus.leshan.server.spool;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks whether the disk has more left than a reserve.
 *
 * <p>That is for the write-ahead log, without which nothing could be removed from a full disk.
 */
final class DiskReserve {

  private static final Logger LOG = LoggerFactory.getLogger(DiskReserve.class);
  private static final long BYTES = 16 << 20;
  private static final long LOOK = TimeUnit.MILLISECONDS.toNanos(200);
  // Pages that the file no longer needs are as good as room on the disk.
  private static final String FREE_PAGES =
      "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size";

  private final SpoolFile file;
  private final long bytes;
  private long looked = System.nanoTime() - LOOK;
  private volatile boolean free = true;

  DiskReserve(SpoolFile file) {
    this.file = file;
    bytes = Math.min(BYTES, file.folder().getTotalSpace() / 4);
  }

  /** Return whether there was more than the reserve at the last look. */
  boolean isFree() {
    return free;
  }

  /** Look again, if the last look is some time ago. */
  void look(Connection connection) throws SQLException {
    if (System.nanoTime() - looked < LOOK) {
      return;
    }
    looked = System.nanoTime();
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(FREE_PAGES)) {
      row.next();
      boolean enough = row.getLong(1) + file.folder().getUsableSpace() >= bytes;
      if (free && !enough) {
        LOG.error("spool: the disk of {} is full but for its reserve, devices are refused", file);
      } else if (!free && enough) {
        LOG.info("spool: the disk of {} has room again", file);
      }
      free = enough;
    }
  }
}
