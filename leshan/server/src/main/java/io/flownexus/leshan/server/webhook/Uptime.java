package io.flownexus.leshan.server.webhook;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Knows since when devices have been heard without a gap that their retransmissions cannot bridge.
 *
 * <p>A gap is a time in which the server was not running, was halted, or refused devices. What
 * devices notified in it they may have given up, and with it their observer (RFC 7641, 4.5). A file
 * says to the next start when the server was last there, by the time of its last change.
 */
public final class Uptime implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(Uptime.class);
  private static final long BEAT_MILLIS = 1000;

  /** What the socket kept while the server was halted is read so long after it. */
  static final long SETTLE_MILLIS = 2000;

  private final Path file;
  private final BooleanSupplier accepting;
  private final LongSupplier clock;
  private final long bridged;
  private final ScheduledExecutorService thread =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread made = new Thread(task, "uptime");
            made.setDaemon(true);
            return made;
          });
  private long last;
  private boolean failed;
  private volatile long since;

  /**
   * Take over what an earlier life has left.
   *
   * @param file null to know nothing of earlier lives
   * @param accepting tells whether devices are refused now
   * @param bridged the longest gap that retransmissions bridge
   */
  public Uptime(Path file, BooleanSupplier accepting, Duration bridged) {
    this(file, accepting, bridged, System::currentTimeMillis);
  }

  Uptime(Path file, BooleanSupplier accepting, Duration bridged, LongSupplier clock) {
    this.file = file;
    this.accepting = accepting;
    this.clock = clock;
    this.bridged = bridged.toMillis();
    since = clock.getAsLong();
    last = since;
    if (file != null && Files.exists(file)) {
      try {
        since = Long.parseLong(Files.readString(file).strip());
        last = Files.getLastModifiedTime(file).toMillis();
      } catch (IOException | NumberFormatException e) {
        LOG.warn("{} cannot be read, a gap is assumed: {}", file, e.toString());
      }
    }
    beat();
  }

  /** Go on noticing gaps, until closed. */
  public void start() {
    thread.scheduleWithFixedDelay(this::beat, BEAT_MILLIS, BEAT_MILLIS, TimeUnit.MILLISECONDS);
  }

  /** Return since when, in epoch milliseconds. */
  public long since() {
    return since;
  }

  /** Note that devices are heard now, unless they are refused. */
  synchronized void beat() {
    if (!accepting.getAsBoolean()) {
      return;
    }
    long now = clock.getAsLong();
    if (now - last > bridged) {
      LOG.warn("devices were not heard for {} s", (now - last) / 1000);
      since = now + SETTLE_MILLIS;
    }
    last = now;
    if (file == null) {
      return;
    }
    try {
      String text = Long.toString(since);
      if (!Files.exists(file) || !Files.readString(file).equals(text)) {
        Files.writeString(file, text);
      }
      Files.setLastModifiedTime(file, FileTime.fromMillis(now));
      failed = false;
    } catch (IOException e) {
      if (!failed) {
        LOG.warn("{} cannot be written, a gap will be assumed: {}", file, e.toString());
      }
      failed = true;
    }
  }

  @Override
  public void close() {
    thread.shutdownNow();
  }
}
