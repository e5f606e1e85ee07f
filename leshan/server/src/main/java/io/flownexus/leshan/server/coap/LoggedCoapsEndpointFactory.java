package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.security.FileSecurityStore;
import java.net.InetSocketAddress;
import java.util.function.Consumer;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.observe.ObservationStore;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.endpoint.EffectiveEndpointUriProvider;
import org.eclipse.leshan.server.observation.LwM2mNotificationReceiver;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.eclipse.leshan.servers.security.ServerSecurityInfo;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerEndpointFactory;
import org.eclipse.leshan.transport.californium.server.observation.LwM2mObservationStore;

/**
 * Makes a CoAPS endpoint that tells of each refused handshake, parses an observation once, and goes
 * on with the sessions of its last stop.
 */
final class LoggedCoapsEndpointFactory extends CoapsServerEndpointFactory {

  private final HandshakeLog log;
  private final DtlsSessions sessions;
  private RegistrationStore registrations;

  LoggedCoapsEndpointFactory(
      EndpointUri uri,
      EndPointUriHandler uris,
      HandshakeLog log,
      DtlsSessions sessions,
      Consumer<CoapEndpoint.Builder> initializer) {
    super(uri, null, null, config -> config.setConnectionListener(log), initializer, uris);
    this.log = log;
    this.sessions = sessions;
  }

  @Override
  protected void setUpDtlsConfig(
      DtlsConnectorConfig.Builder builder,
      InetSocketAddress address,
      ServerSecurityInfo security,
      LeshanServer server) {
    super.setUpDtlsConfig(builder, address, security, server);
    if (security.getTrustedCertificates() != null) {
      builder.setCertificateVerifier(
          new DeviceVerifier(
              security.getTrustedCertificates(), (FileSecurityStore) server.getSecurityStore()));
    }
  }

  @Override
  protected Connector createConnector(DtlsConnectorConfig config) {
    return new DeviceConnector(config, log, sessions);
  }

  @Override
  protected LwM2mObservationStore createObservationStore(
      LeshanServer server, LwM2mNotificationReceiver receiver, EffectiveEndpointUriProvider uri) {
    registrations = server.getRegistrationStore();
    return new LwM2mObservationStore(uri, registrations, receiver, new ObservationCache());
  }

  @Override
  protected CoapEndpoint.Builder createEndpointBuilder(
      DtlsConnectorConfig dtls, Configuration configuration, ObservationStore store) {
    return ClockedMessageIds.use(
            super.createEndpointBuilder(dtls, configuration, store), configuration)
        .setCustomCoapStackArgument(registrations);
  }
}
