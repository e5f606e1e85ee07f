package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Counts the bytes that wait against their bound, and says when it is near or reached. */
final class SpoolCapacity {

  private static final Logger LOG = LoggerFactory.getLogger(SpoolCapacity.class);
  private static final double NEAR = 0.8;
  private static final double FAR = 0.7;

  private final long bound;
  private final AtomicLong bytes = new AtomicLong();
  private final AtomicBoolean near = new AtomicBoolean();
  private final AtomicBoolean full = new AtomicBoolean();

  SpoolCapacity(long bound, Metrics metrics) {
    this.bound = bound;
    metrics.show(Gauge.SPOOL_BYTES, bytes::get);
    metrics.show(Gauge.SPOOL_BOUND_BYTES, () -> bound);
  }

  boolean free() {
    return bytes.get() < bound;
  }

  void take(long more) {
    long now = bytes.addAndGet(more);
    if (now >= bound * NEAR && near.compareAndSet(false, true)) {
      LOG.warn("spool near its bound: {} of {} bytes", now, bound);
    }
    if (now >= bound && full.compareAndSet(false, true)) {
      LOG.error("spool full: {} bytes wait, devices are refused until some are stored", now);
    }
  }

  void give(long less) {
    long now = bytes.addAndGet(-less);
    if (now < bound && full.compareAndSet(true, false)) {
      LOG.info("spool has room again: {} of {} bytes", now, bound);
    }
    if (now < bound * FAR) {
      near.set(false);
    }
  }
}
