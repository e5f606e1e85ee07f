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
import io.flownexus.leshan.server.webhook.WebhookSettings;
import io.flownexus.leshan.server.webhook.Webhooks;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Posts what devices send to functions, through a spool on disk. */
final class WebhookDelivery implements Delivery {

  private static final Logger LOG = LoggerFactory.getLogger(WebhookDelivery.class);

  private final Journal journal;
  private final DiskSpool spool;
  private final DurableRegistrationStore registrations;
  private final KnownEndpoints endpoints;
  private final Uptime uptime;
  private final Uplink uplink;
  private final Webhooks webhooks;

  /** Put the parts together; what an earlier life has left is posted at once. */
  WebhookDelivery(
      WebhookSettings settings,
      Path spoolFile,
      long maxSpoolBytes,
      Duration bridgedGap,
      Duration awake,
      Metrics metrics) {
    journal = new Journal(spoolFile, metrics);
    spool = new DiskSpool(journal, settings.lanes(), maxSpoolBytes, metrics);
    registrations = new DurableRegistrationStore(journal);
    endpoints = new DurableEndpoints(journal);
    journal.start();
    webhooks = new Webhooks(spool, settings, metrics);
    Path heard = Path.of(spoolFile + ".heard");
    uptime = new Uptime(heard, spool::accepting, bridgedGap);
    uptime.start();
    uplink = new Uplink(spool, uptime, awake, metrics);
  }

  @Override
  public Spool spool() {
    return spool;
  }

  @Override
  public RegistrationStore registrations() {
    return registrations;
  }

  @Override
  public CompletionStage<Void> saved() {
    return registrations.saved();
  }

  @Override
  public KnownEndpoints endpoints() {
    return endpoints;
  }

  @Override
  public Uplink uplink() {
    return uplink;
  }

  @Override
  public List<String> troubles() {
    List<String> troubles = new ArrayList<>(webhooks.troubles());
    if (journal.trouble() != null) {
      troubles.add(journal.trouble());
    }
    return troubles;
  }

  @Override
  public void stop(Duration patience) {
    uptime.close();
    long left = webhooks.close(patience);
    spool.close();
    journal.close();
    if (left > 0) {
      LOG.info("stopped with {} items in the spool: they are posted after the next start", left);
    }
  }
}
