package io.flownexus.leshan.server.coap;

import static java.util.stream.Collectors.toMap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.firmware.PackageSource;
import io.flownexus.leshan.server.presence.Contacts;
import io.flownexus.leshan.server.security.FileSecurityStore;
import io.flownexus.leshan.server.security.RefusalListener;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.UdpEndpointContextMatcher;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.config.UdpConfig;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.endpoint.LwM2mServerEndpoint;
import org.eclipse.leshan.server.endpoint.ServerEndpointToolbox;
import org.eclipse.leshan.server.observation.LwM2mNotificationReceiver;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.eclipse.leshan.server.request.UplinkDeviceManagementRequestReceiver;
import org.eclipse.leshan.servers.security.ServerSecurityInfo;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpoint;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

/** The CoAP and CoAPS endpoints, made for many devices and guarded by the spool's bound. */
public final class Transport extends CaliforniumServerEndpointsProvider {

  private static final int RECEIVE_BUFFER = 8 << 20; // the kernel caps it at net.core.rmem_max
  private static final int MAX_PEERS = 100_000;

  private final Gatekeeper gatekeeper;
  private final Spool spool;
  private final Uplink uplink;
  private final Contacts contacts;
  private final Metrics metrics;
  private final Map<Protocol, Deduplicator> deduplicators;

  private Transport(
      Builder builder,
      Gatekeeper gatekeeper,
      Map<Protocol, Deduplicator> deduplicators,
      Spool spool,
      Uplink uplink,
      Contacts contacts,
      Metrics metrics) {
    super(builder);
    this.gatekeeper = gatekeeper;
    this.deduplicators = deduplicators;
    this.spool = spool;
    this.uplink = uplink;
    this.contacts = contacts;
    this.metrics = metrics;
  }

  /**
   * Describe the endpoints, CoAP's only if it is given; they open with the server's start. Firmware
   * packages are served where they come from somewhere.
   */
  public static Transport create(
      InetSocketAddress coap,
      InetSocketAddress coaps,
      Gatekeeper gatekeeper,
      Spool spool,
      Uplink uplink,
      Contacts contacts,
      DtlsSessions sessions,
      RefusalListener listener,
      FileSecurityStore security,
      PackageSource packages,
      Metrics metrics) {
    Map<Protocol, Deduplicator> deduplicators =
        Stream.of(Protocol.COAP, Protocol.COAPS)
            .collect(
                toMap(Function.identity(), each -> new Deduplicator(each.getUriScheme(), metrics)));
    Refusals refusals = new Refusals(metrics, listener);
    Builder builder =
        builder(
            coap,
            coaps,
            sessions,
            new HandshakeLog(metrics, listener, security::endpointOf),
            protocol ->
                endpoint -> {
                  if (protocol.equals(Protocol.COAP)) {
                    // By token; the stack looks at the address that the device is registered at.
                    endpoint.setEndpointContextMatcher(new UdpEndpointContextMatcher(false));
                  }
                  endpoint.setCoapStackFactory(
                      (name, tag, config, matcher, outbox, registrations) ->
                          new CommitStack(
                              tag,
                              config,
                              matcher,
                              outbox,
                              spool,
                              deduplicators.get(protocol),
                              new Registered(
                                  (RegistrationStore) registrations, metrics.movedNotifications),
                              refusals,
                              packages));
                });
    return new Transport(builder, gatekeeper, deduplicators, spool, uplink, contacts, metrics);
  }

  private static Builder builder(
      InetSocketAddress coap,
      InetSocketAddress coaps,
      DtlsSessions sessions,
      HandshakeLog handshakes,
      Function<Protocol, Consumer<CoapEndpoint.Builder>> stack) {
    EndPointUriHandler uris = new DefaultEndPointUriHandler();
    EndpointUri secure = uris.createUri(Protocol.COAPS.getUriScheme(), coaps);
    TransportBuilder builder = new TransportBuilder();
    builder.setConfiguration(Transport::configure);
    if (coap != null) {
      EndpointUri plain = uris.createUri(Protocol.COAP.getUriScheme(), coap);
      builder.addEndpoint(new CachedCoapEndpointFactory(plain, uris, stack.apply(Protocol.COAP)));
    }
    builder.addEndpoint(
        new LoggedCoapsEndpointFactory(
            secure, uris, handshakes, sessions, stack.apply(Protocol.COAPS)));
    return builder.complete();
  }

  /** Return the port that a protocol's endpoint is bound to, or 0 while it is not. */
  public int port(Protocol protocol) {
    for (LwM2mServerEndpoint endpoint : getEndpoints()) {
      if (endpoint.getProtocol().equals(protocol)
          && endpoint instanceof CaliforniumServerEndpoint californium
          && californium.getCoapEndpoint().isStarted()) {
        return californium.getCoapEndpoint().getAddress().getPort();
      }
    }
    return 0;
  }

  /** Keep the DTLS sessions for the next start, once the endpoints have stopped. */
  public void saveSessions() {
    for (LwM2mServerEndpoint endpoint : getEndpoints()) {
      if (endpoint instanceof CaliforniumServerEndpoint californium
          && californium.getCoapEndpoint().getConnector() instanceof DeviceConnector connector) {
        connector.save();
      }
    }
  }

  @Override
  public void createEndpoints(
      UplinkDeviceManagementRequestReceiver receiver,
      LwM2mNotificationReceiver notificationReceiver,
      ServerEndpointToolbox toolbox,
      ServerSecurityInfo security,
      LeshanServer server) {
    super.createEndpoints(
        gatekeeper.guard(new Admission(receiver, spool, uplink, contacts, metrics)),
        notificationReceiver,
        toolbox,
        security,
        server);
    getCoapServer().setMessageDeliverer(new RequestCheck(getCoapServer().getMessageDeliverer()));
    NotificationGate gate = new NotificationGate(spool, metrics);
    for (LwM2mServerEndpoint endpoint : getEndpoints()) {
      if (endpoint instanceof CaliforniumServerEndpoint californium) {
        californium.getCoapEndpoint().addInterceptor(gate); // first: it leaves nothing behind
        deduplicators.get(endpoint.getProtocol()).attach(californium.getCoapEndpoint());
      }
    }
  }

  private static void configure(Configuration configuration) {
    configuration.set(UdpConfig.UDP_RECEIVE_BUFFER_SIZE, RECEIVE_BUFFER);
    configuration.set(CoapConfig.MAX_ACTIVE_PEERS, MAX_PEERS);
    // Californium's would keep whole exchanges.
    configuration.set(CoapConfig.DEDUPLICATOR, CoapConfig.NO_DEDUPLICATOR);
    configuration.set(DtlsConfig.DTLS_MAX_CONNECTIONS, MAX_PEERS);
    configuration.set(DtlsConfig.DTLS_RECEIVE_BUFFER_SIZE, RECEIVE_BUFFER);
    // Devices connect to the server, never the other way round.
    configuration.set(DtlsConfig.DTLS_ROLE, DtlsRole.SERVER_ONLY);
  }

  private static final class TransportBuilder extends Builder {

    TransportBuilder() {
      super(new CoapServerProtocolProvider(), new CoapsServerProtocolProvider());
    }

    Builder complete() {
      return generateDefaultValue();
    }
  }
}
