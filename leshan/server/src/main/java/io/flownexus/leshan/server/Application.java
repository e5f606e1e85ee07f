package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.bootstrap.BootstrapServer;
import io.flownexus.leshan.server.coap.ClockedMessageIds;
import io.flownexus.leshan.server.coap.EndedObservations;
import io.flownexus.leshan.server.coap.Gatekeeper;
import io.flownexus.leshan.server.coap.Transport;
import io.flownexus.leshan.server.codec.Codecs;
import io.flownexus.leshan.server.codec.Links;
import io.flownexus.leshan.server.firmware.PackageSource;
import io.flownexus.leshan.server.firmware.Pushes;
import io.flownexus.leshan.server.presence.AwakeTimes;
import io.flownexus.leshan.server.presence.Contacts;
import io.flownexus.leshan.server.rest.HttpApi;
import io.flownexus.leshan.server.rest.MetricsServer;
import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.security.DevicePolicy;
import io.flownexus.leshan.server.security.ExpiryWatch;
import io.flownexus.leshan.server.security.FileSecurityStore;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.security.NewEndpoints;
import io.flownexus.leshan.server.security.PlainCoap;
import io.flownexus.leshan.server.security.RegistrationWatch;
import io.flownexus.leshan.server.webhook.Intake;
import io.flownexus.leshan.server.webhook.RefusalItems;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationServiceImpl;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The whole server: LwM2M to webhooks, and REST to LwM2M. */
public final class Application {

  private static final Logger LOG = LoggerFactory.getLogger(Application.class);

  private final ServerSettings settings;
  private final Delivery delivery;
  private final AwakeTimes awakeTimes;
  private final RefusalItems refusals;
  private final Transport transport;
  private final LeshanServer lwm2m;
  private final HttpApi http;
  private final ExpiryWatch expiry;
  private final MetricsServer metricsServer;
  private final UsersModels usersModels;
  private final BootstrapServer bootstrap;
  private volatile boolean ready;

  /** Put the parts together, without opening any port. */
  Application(ServerSettings settings) {
    this.settings = settings;
    Metrics metrics = new Metrics();
    ObjectModels models = ObjectModels.load(settings.models());
    FileSecurityStore security = new FileSecurityStore(settings.securityStore());
    PlainCoap plain = settings.plainCoap();
    InetSocketAddress coap =
        plain.open() ? new InetSocketAddress(settings.coapHost(), settings.coapPort()) : null;
    InetSocketAddress coaps = new InetSocketAddress(settings.coapHost(), settings.coapsPort());
    delivery = settings.delivery().apply(metrics);
    KnownEndpoints known = delivery.endpoints();
    DevicePolicy policy = new DevicePolicy(security, plain, known, metrics);
    NewEndpoints limit = new NewEndpoints(settings.newEndpoints(), System::nanoTime);
    Gatekeeper gatekeeper = new Gatekeeper(policy, known, limit);
    refusals = new RefusalItems(delivery.spool());
    policy.tell(refusals);
    awakeTimes = new AwakeTimes(settings.clientAwakeTime());
    Contacts contacts = new Contacts(awakeTimes, settings.followAddress());
    PackageSource packages =
        settings.firmware() == null ? null : new PackageSource(settings.firmware());
    transport =
        Transport.create(
            coap,
            coaps,
            gatekeeper,
            delivery.spool(),
            delivery.uplink(),
            contacts,
            settings.dtlsSessions(),
            refusals,
            security,
            packages,
            metrics);
    lwm2m = build(models, security, policy);
    // First of the listeners: the data of devices before all else.
    lwm2m.getRegistrationService().addListener((RegistrationListener) delivery.uplink());
    lwm2m.getObservationService().addListener(delivery.uplink());
    contacts.attach(lwm2m);
    lwm2m.getObservationService().addListener(new EndedObservations(lwm2m.getObservationService()));
    RegistrationWatch watch =
        new RegistrationWatch(
            (RegistrationServiceImpl) lwm2m.getRegistrationService(), policy, known);
    expiry = new ExpiryWatch(security, watch);
    http =
        new HttpApi(
            settings.httpHost(),
            settings.httpPort(),
            settings.apiTokens(),
            settings.secretsTokens(),
            lwm2m,
            awakeTimes,
            contacts::unanswered,
            packages == null ? null : new Pushes(lwm2m, packages, ClockedMessageIds.PACE),
            security,
            watch,
            metrics,
            delivery.spool(),
            delivery::saved,
            this::troubles);
    metricsServer =
        new MetricsServer(settings.metricsHost(), settings.metricsPort(), metrics::text);
    Runtime runtime = Runtime.getRuntime();
    metrics.show(Gauge.HEAP_USED_BYTES, () -> runtime.totalMemory() - runtime.freeMemory());
    metrics.show(Gauge.HEAP_KEPT_BYTES, Application::keptByCollection);
    LOG.info("{} object models loaded", models.size());
    usersModels =
        settings.usersModels() == null ? null : new UsersModels(settings.usersModels(), models);
    bootstrap =
        settings.bootstrap() == null
            ? null
            : new BootstrapServer(settings.bootstrap(), models::newest, metrics, refusals);
  }

  private List<String> troubles() {
    return ready ? delivery.troubles() : List.of("not ready");
  }

  private static long keptByCollection() {
    // Of the heap's pools, only the old generation has a threshold.
    return ManagementFactory.getMemoryPoolMXBeans().stream()
        .filter(pool -> pool.getType() == MemoryType.HEAP && pool.isUsageThresholdSupported())
        .map(MemoryPoolMXBean::getCollectionUsage)
        .mapToLong(usage -> usage == null ? 0 : usage.getUsed())
        .sum();
  }

  /** Open the ports: first for operators, then for devices. */
  public void start() {
    try {
      http.start();
    } catch (Exception e) {
      throw taken("HTTP", settings.httpHost(), settings.httpPort(), "--http-port", e);
    }
    try {
      metricsServer.start();
    } catch (Exception e) {
      throw taken("metrics", settings.metricsHost(), settings.metricsPort(), "--metrics-port", e);
    }
    if (usersModels != null) {
      usersModels.start();
    }
    try {
      lwm2m.start();
    } catch (RuntimeException e) {
      throw taken("CoAP", settings.coapHost(), settings.coapPort(), "--coap-port", e);
    }
    if (settings.plainCoap().open() && coapPort() == 0) {
      throw taken("CoAP", settings.coapHost(), settings.coapPort(), "--coap-port", null);
    }
    if (coapsPort() == 0) {
      throw taken("CoAPS", settings.coapHost(), settings.coapsPort(), "--coaps-port", null);
    }
    if (bootstrap != null) {
      bootstrap.start();
      LOG.info("bootstrap server: coaps {}", bootstrap.port());
    }
    ready = true;
    LOG.info(
        "ready: coap {}, coaps {}, http {}, metrics {}",
        settings.plainCoap().open() ? coapPort() : "closed",
        coapsPort(),
        httpPort(),
        metricsPort());
  }

  /** Take nothing more from devices, post what waits, at most so long, and stop. */
  public void stop(Duration patience) {
    ready = false;
    if (bootstrap != null) {
      bootstrap.close();
    }
    expiry.close();
    lwm2m.stop();
    transport.saveSessions();
    lwm2m.destroy();
    awakeTimes.close();
    refusals.close();
    delivery.stop(patience);
    if (usersModels != null) {
      usersModels.close();
    }
    try {
      http.stop();
      metricsServer.stop();
    } catch (Exception e) {
      LOG.warn("HTTP server: {}", e.toString());
    }
    LOG.info("stopped");
  }

  /** Return the CoAP port, 0 where it is closed. */
  public int coapPort() {
    return transport.port(Protocol.COAP);
  }

  /** Return the CoAPS port, 0 while closed. */
  public int coapsPort() {
    return transport.port(Protocol.COAPS);
  }

  /** Return the bootstrap server's port, 0 where there is none. */
  public int bootstrapPort() {
    return bootstrap == null ? 0 : bootstrap.port();
  }

  /** Return the HTTP port. */
  public int httpPort() {
    return http.port();
  }

  /** Return the port of the metrics. */
  public int metricsPort() {
    return metricsServer.port();
  }

  private static StartupException taken(
      String protocol, String host, int port, String flag, Throwable cause) {
    return new StartupException(
        "cannot open %s port %s:%d%s; if something else has it, give another one with %s"
            .formatted(
                protocol, host, port, cause == null ? "" : " (" + cause.getMessage() + ")", flag),
        cause);
  }

  private LeshanServer build(ObjectModels models, FileSecurityStore security, DevicePolicy policy) {
    LeshanServerBuilder builder =
        new LeshanServerBuilder()
            .setEndpointsProviders(transport)
            .setRegistrationStore(delivery.registrations())
            .setObjectModelProvider(models)
            .setDecoder(Codecs.decoder(Intake::note))
            .setEncoder(Codecs.encoder())
            .setSecurityStore(security)
            .setAuthorizer(policy)
            .setClientAwakeTimeProvider(awakeTimes);
    builder.setLinkParser(Links.parser());
    Credentials credentials = settings.credentials();
    if (credentials != null) {
      builder
          .setPrivateKey(credentials.key())
          .setCertificateChain(credentials.chain())
          .setTrustedCertificates(credentials.trusted());
    }
    return builder.build();
  }
}
