package io.flownexus.leshan.server.security;

import java.io.UncheckedIOException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Ends credentials that are over, with the sessions and registrations that stand by them. */
public final class ExpiryWatch implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(ExpiryWatch.class);
  private static final long PERIOD_SECONDS = 1;

  private final FileSecurityStore store;
  private final RegistrationWatch watch;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "expiry");
            thread.setDaemon(true);
            return thread;
          });

  /** Watch a store from now on. */
  public ExpiryWatch(FileSecurityStore store, RegistrationWatch watch) {
    this.store = store;
    this.watch = watch;
    timer.scheduleWithFixedDelay(this::round, PERIOD_SECONDS, PERIOD_SECONDS, TimeUnit.SECONDS);
  }

  private void round() {
    try {
      for (String endpoint : store.expire()) {
        LOG.atInfo().addKeyValue("endpoint", endpoint).log("a credential is over");
        watch.review(endpoint);
      }
    } catch (UncheckedIOException e) { // it counts as over all the same, and is ended later
      LOG.warn("{}", e.toString());
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
