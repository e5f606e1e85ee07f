package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.MessageId;
import java.io.ByteArrayOutputStream;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Remembers which messages brought what is on disk, for as long as they may come again.
 *
 * <p>Within one life of the server CoAP's own deduplication does that; this is for the next one.
 */
final class Receipts {

  private static final long EXCHANGE_LIFETIME = TimeUnit.SECONDS.toMillis(247);
  private static final long CLEAN = TimeUnit.SECONDS.toMillis(10);

  private final Update insert;
  private final Update delete;
  private final long started = System.currentTimeMillis();
  private long cleaned = started;
  private volatile long[] earlier; // sorted; their hashes, for there may be millions

  Receipts(Database database) throws SQLException {
    database.define(
        "CREATE TABLE IF NOT EXISTS receipt (id INTEGER PRIMARY KEY, time INTEGER, messages BLOB)");
    insert = database.update("INSERT INTO receipt (time, messages) VALUES (?, ?)");
    delete = database.update("DELETE FROM receipt WHERE time < ?");
    try (PreparedStatement select =
        database.query("SELECT messages FROM receipt WHERE time >= ?")) {
      select.setLong(1, started - EXCHANGE_LIFETIME);
      long[] hashes = new long[1024];
      int size = 0;
      try (ResultSet rows = select.executeQuery()) {
        while (rows.next()) {
          byte[] messages = rows.getBytes(1);
          for (int start = 0, end; start < messages.length; start = end) {
            int token = start + messages[start] + 5;
            end = token + 1 + messages[token];
            if (size == hashes.length) {
              hashes = Arrays.copyOf(hashes, size * 2);
            }
            hashes[size++] = hash(messages, start, end);
          }
        }
      }
      hashes = Arrays.copyOf(hashes, size);
      Arrays.sort(hashes);
      earlier = hashes;
    }
  }

  /** Return whether an earlier life has kept what this message brings. */
  boolean contain(MessageId message) {
    long[] known = earlier;
    if (known.length == 0) {
      return false;
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream(32);
    message.writeTo(out);
    return Arrays.binarySearch(known, hash(out.toByteArray(), 0, out.size())) >= 0;
  }

  /** Write which messages a transaction's items came with. */
  void write(List<MessageId> messages, long now) throws SQLException {
    if (!messages.isEmpty()) {
      ByteArrayOutputStream out = new ByteArrayOutputStream(20 * messages.size());
      messages.forEach(message -> message.writeTo(out));
      insert.execute(now, out.toByteArray());
    }
    if (now - cleaned >= CLEAN) {
      cleaned = now;
      delete.execute(now - EXCHANGE_LIFETIME);
      if (now - started > EXCHANGE_LIFETIME) {
        earlier = new long[0];
      }
    }
  }

  // FNV-1a over 64 bits, stirred: two of millions have the same one once in millions of starts.
  private static long hash(byte[] bytes, int start, int end) {
    long hash = 0xcbf29ce484222325L;
    for (int i = start; i < end; i++) {
      hash = (hash ^ (bytes[i] & 0xff)) * 0x100000001b3L;
    }
    hash = (hash ^ (hash >>> 32)) * 0x9E3779B97F4A7C15L;
    return hash ^ (hash >>> 29);
  }
}
