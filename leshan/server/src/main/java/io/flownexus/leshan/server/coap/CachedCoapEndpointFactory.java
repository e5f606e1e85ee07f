package io.flownexus.leshan.server.coap;

import java.net.InetSocketAddress;
import java.util.function.Consumer;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.endpoint.EffectiveEndpointUriProvider;
import org.eclipse.leshan.server.observation.LwM2mNotificationReceiver;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerEndpointFactory;
import org.eclipse.leshan.transport.californium.server.observation.LwM2mObservationStore;

/** Makes a CoAP endpoint that parses an observation once. */
final class CachedCoapEndpointFactory extends CoapServerEndpointFactory {

  CachedCoapEndpointFactory(
      EndpointUri uri, EndPointUriHandler uris, Consumer<CoapEndpoint.Builder> initializer) {
    super(uri, null, null, initializer, uris);
  }

  @Override
  protected CoapEndpoint.Builder createEndpointBuilder(
      InetSocketAddress address,
      Configuration configuration,
      LwM2mNotificationReceiver receiver,
      LeshanServer server,
      EffectiveEndpointUriProvider uri) {
    CoapEndpoint.Builder builder =
        super.createEndpointBuilder(address, configuration, receiver, server, uri);
    return ClockedMessageIds.use(builder, configuration)
        .setCustomCoapStackArgument(server.getRegistrationStore())
        .setObservationStore(
            new LwM2mObservationStore(
                uri, server.getRegistrationStore(), receiver, new ObservationCache()));
  }
}
