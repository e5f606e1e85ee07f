package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.spool.CountingSpool;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import io.flownexus.leshan.server.webhook.Uptime;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.eclipse.leshan.server.registration.InMemoryRegistrationStore;
import org.eclipse.leshan.server.registration.RegistrationStore;

/** Counts what would be posted, without a disk and functions: the ceiling of benchmarks. */
final class CountingDelivery implements Delivery {

  private final RegistrationStore registrations = new InMemoryRegistrationStore();
  private final KnownEndpoints endpoints = new KnownEndpoints();
  private final Spool spool;
  private final Uplink uplink;

  CountingDelivery(Duration bridgedGap, Duration awake, Metrics metrics) {
    spool = new CountingSpool(metrics);
    uplink = new Uplink(spool, new Uptime(null, spool::accepting, bridgedGap), awake, metrics);
  }

  @Override
  public Spool spool() {
    return spool;
  }

  @Override
  public Uplink uplink() {
    return uplink;
  }

  @Override
  public RegistrationStore registrations() {
    return registrations;
  }

  @Override
  public KnownEndpoints endpoints() {
    return endpoints;
  }

  @Override
  public CompletionStage<Void> saved() {
    return CompletableFuture.completedStage(null);
  }

  @Override
  public List<String> troubles() {
    return List.of();
  }

  @Override
  public void stop(Duration patience) {}
}
