package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.spool.DiskSpool;
import io.flownexus.leshan.server.spool.DurableEndpoints;
import io.flownexus.leshan.server.spool.DurableRegistrationStore;
import io.flownexus.leshan.server.spool.Journal;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import io.flownexus.leshan.server.webhook.Uptime;
import io.flownexus.leshan.server.webhook.Webhooks;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The way of data from devices to functions, through a spool on disk. */
final class Delivery {

  private static final Logger LOG = LoggerFactory.getLogger(Delivery.class);

  private final Journal journal;
  private final DiskSpool spool;
  private final DurableRegistrationStore registrations;
  private final KnownEndpoints endpoints;
  private final Uptime uptime;
  private final Uplink uplink;
  private final Webhooks webhooks;

  /** Put the parts together; what an earlier life has left is posted at once. */
  Delivery(ServerSettings settings, Metrics metrics) {
    journal = new Journal(settings.spool(), metrics);
    spool = new DiskSpool(journal, settings.webhooks().lanes(), settings.maxSpoolBytes(), metrics);
    registrations = new DurableRegistrationStore(journal);
    endpoints = new DurableEndpoints(journal);
    journal.start();
    webhooks = new Webhooks(spool, settings.webhooks(), metrics);
    Path heard = Path.of(settings.spool() + ".heard");
    uptime = new Uptime(heard, spool::accepting, settings.bridgedGap());
    uptime.start();
    uplink = new Uplink(spool, uptime, metrics);
  }

  Spool spool() {
    return spool;
  }

  RegistrationStore registrations() {
    return registrations;
  }

  /** Return when all registrations and observations so far are on disk. */
  CompletionStage<Void> saved() {
    return registrations.saved();
  }

  KnownEndpoints endpoints() {
    return endpoints;
  }

  Uplink uplink() {
    return uplink;
  }

  /** Say why data is not kept or not posted, though disk and functions may be well. */
  List<String> troubles() {
    List<String> troubles = new ArrayList<>(webhooks.troubles());
    if (journal.trouble() != null) {
      troubles.add(journal.trouble());
    }
    return troubles;
  }

  /** Post what waits, at most so long, and stop. */
  void stop(Duration patience) {
    uptime.close();
    long left = webhooks.close(patience);
    spool.close();
    journal.close();
    if (left > 0) {
      LOG.info("stopped with {} items in the spool: they are posted after the next start", left);
    }
  }
}
