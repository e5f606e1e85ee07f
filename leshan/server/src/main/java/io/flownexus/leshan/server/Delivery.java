package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.spool.DiskSpool;
import io.flownexus.leshan.server.spool.DurableEndpoints;
import io.flownexus.leshan.server.spool.DurableRegistrationStore;
import io.flownexus.leshan.server.spool.Journal;
import io.flownexus.leshan.server.webhook.MemorySpool;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import io.flownexus.leshan.server.webhook.Uptime;
import io.flownexus.leshan.server.webhook.Webhooks;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Supplier;
import org.eclipse.leshan.server.registration.InMemoryRegistrationStore;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The way of data from devices to functions, through a spool on disk or in memory. */
final class Delivery {

  private static final Logger LOG = LoggerFactory.getLogger(Delivery.class);

  private final Journal journal;
  private final DiskSpool disk;
  private final Spool spool;
  private final RegistrationStore registrations;
  private final Supplier<CompletionStage<Void>> saved;
  private final KnownEndpoints endpoints;
  private final Uptime uptime;
  private final Uplink uplink;
  private final Webhooks webhooks;

  /** Put the parts together; what an earlier life has left is posted at once. */
  Delivery(ServerSettings settings, Metrics metrics) {
    int lanes = settings.webhooks().lanes();
    if (settings.spool() == null) {
      journal = null;
      disk = null;
      spool = new MemorySpool(lanes, settings.maxPendingItems());
      registrations = new InMemoryRegistrationStore();
      saved = Delivery::atOnce;
      endpoints = new KnownEndpoints();
      metrics.gauge(
          "spool_bound_items", "", "Devices are refused at it.", settings::maxPendingItems);
    } else {
      journal = new Journal(settings.spool(), metrics);
      disk = new DiskSpool(journal, lanes, settings.maxSpoolBytes(), metrics);
      spool = disk;
      DurableRegistrationStore durable = new DurableRegistrationStore(journal);
      registrations = durable;
      saved = durable::saved;
      endpoints = new DurableEndpoints(journal);
      journal.start();
    }
    webhooks = new Webhooks(spool, settings.webhooks(), metrics);
    Path heard = settings.spool() == null ? null : Path.of(settings.spool().toString() + ".heard");
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

  /** Return what tells when registrations and observations are as safe as they get. */
  Supplier<CompletionStage<Void>> saved() {
    return saved;
  }

  /** Tell so at once. */
  static CompletionStage<Void> atOnce() {
    return CompletableFuture.completedStage(null);
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
    if (journal != null && journal.trouble() != null) {
      troubles.add(journal.trouble());
    }
    return troubles;
  }

  /** Post what waits, at most so long, and stop. */
  void stop(Duration patience) {
    uptime.close();
    long left = webhooks.close(patience);
    if (journal == null) {
      if (left > 0) {
        LOG.error("stopped with {} items that no function has taken: they are lost", left);
      }
      return;
    }
    disk.close();
    journal.close();
    if (left > 0) {
      LOG.info("stopped with {} items in the spool: they are posted after the next start", left);
    }
  }
}
