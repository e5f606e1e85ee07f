package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.cert.Certificate;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.network.Endpoint;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpoint;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpointsProvider;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.core.SecurityMode;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.PskIdentity;
import org.eclipse.leshan.core.peer.RpkIdentity;
import org.eclipse.leshan.core.peer.X509Identity;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpoint;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.ClientCoapMessageTranslator;
import org.eclipse.leshan.transport.californium.client.endpoint.ServerIdentityExtractor;
import org.eclipse.leshan.transport.californium.identity.IdentityHandler;
import org.eclipse.leshan.transport.californium.identity.IdentityHandlerProvider;

/**
 * Gives a device its CoAP endpoint, on threads shared by all devices (Leshan's own provider starts
 * some for each client).
 */
final class DeviceEndpoints implements LwM2mClientEndpointsProvider {
  private final DeviceContext context;
  private final Radio radio;
  private final RequestLog requests;
  private final Configuration config;
  private final IdentityHandlerProvider identities = new OneIdentityHandler();
  private final ClientCoapMessageTranslator translator;
  private LwM2mObjectTree objects;
  private CoapServer coapServer;
  private Gate gate;
  private volatile IdentityHandler identity;
  private volatile LwM2mServer server;
  private volatile CaliforniumClientEndpoint endpoint;

  DeviceEndpoints(
      DeviceContext context, Radio radio, Notifications notifications, RequestLog requests) {
    this.context = context;
    this.radio = radio;
    this.requests = requests;
    translator = new DeviceTranslator(notifications);
    config =
        new Configuration(context.engine().coap)
            .set(
                CoapConfig.ACK_TIMEOUT,
                context.spec().ackTimeout().toMillis(),
                TimeUnit.MILLISECONDS);
  }

  @Override
  public void init(
      LwM2mObjectTree objectTree,
      DownlinkRequestReceiver receiver,
      NotificationManager manager,
      ClientEndpointToolbox toolbox) {
    objects = objectTree;
    ServerIdentityExtractor servers = this::serverOf;
    coapServer =
        new CoapServer(config) {
          @Override
          protected Resource createRoot() {
            return translator.createRootResource(
                this, identities, servers, receiver, toolbox, objectTree);
          }
        };
    coapServer.setExecutor(context.engine().protocol, true);
    gate =
        new Gate(coapServer.getMessageDeliverer(), coapServer.getRoot(), requests, radio, context);
    coapServer.setMessageDeliverer(gate);
    translator
        .createResources(coapServer, identities, servers, receiver, manager, toolbox, objectTree)
        .forEach(coapServer::add);
  }

  /** Recognise the server: over plain UDP anyone may send to a device. */
  private LwM2mServer serverOf(Exchange exchange, IpPeer peer) {
    LwM2mServer known = server;
    if (known == null || peer.getIdentity().isSecure()) {
      return known;
    }
    InetSocketAddress address = ((IpPeer) known.getTransportData()).getSocketAddress();
    return address.equals(peer.getSocketAddress()) ? known : null;
  }

  @Override
  public LwM2mServer createEndpoint(
      ServerInfo info,
      boolean clientInitiatedOnly,
      List<Certificate> trustStore,
      ClientEndpointToolbox toolbox) {
    CaliforniumClientEndpointFactory factory = Transports.of(info, radio, context.engine());
    try {
      context.fleet().credentials().complete(info, context.endpoint());
      CoapEndpoint coap =
          factory.createCoapEndpoint(
              context.fleet().bind(), config, info, clientInitiatedOnly, trustStore, toolbox);
      identity = factory.createIdentityHandler();
      endpoint =
          new CaliforniumClientEndpoint(
              factory.getProtocol(),
              factory.getEndpointDescription(),
              coap,
              translator,
              toolbox,
              identity,
              factory.createConnectionController(),
              objects.getModel(),
              factory.createExceptionTranslator(),
              context.engine().timers);
      server =
          info.bootstrap
              ? new LwM2mServer(peerOf(info), info.serverUri)
              : new LwM2mServer(peerOf(info), info.serverId, info.serverUri);
      coapServer.addEndpoint(coap);
      coap.start();
      return server;
    } catch (IOException e) {
      throw new IllegalStateException("cannot open a socket: " + e.getMessage(), e);
    }
  }

  private static IpPeer peerOf(ServerInfo info) {
    if (info.secureMode == SecurityMode.PSK) {
      return new IpPeer(info.getAddress(), info.sni, new PskIdentity(info.pskId));
    } else if (info.secureMode == SecurityMode.RPK) {
      return new IpPeer(info.getAddress(), info.sni, new RpkIdentity(info.serverPublicKey));
    } else if (info.secureMode == SecurityMode.X509) {
      // Any name: the certificate has been verified by then.
      return new IpPeer(info.getAddress(), info.sni, new X509Identity("*"));
    }
    return new IpPeer(info.getAddress());
  }

  /** Drop all observations silently, as a device does that starts or registers anew. */
  void forgetObservations() {
    ((CoapResource) coapServer.getRoot()).clearObserveRelations();
    for (Resource child : coapServer.getRoot().getChildren()) {
      ((CoapResource) child).clearObserveRelations();
    }
  }

  /** Return how many observations the device keeps. */
  int observations() {
    int count = ((CoapResource) coapServer.getRoot()).getObserverCount();
    for (Resource child : coapServer.getRoot().getChildren()) {
      count += ((CoapResource) child).getObserverCount();
    }
    return count;
  }

  /** Return the socket; IllegalStateException while the device is off. */
  Endpoint coap() {
    CaliforniumClientEndpoint current = endpoint;
    if (current == null) {
      throw new IllegalStateException(context.endpoint() + " is off");
    }
    return current.getCoapEndpoint();
  }

  /** Return the port the device sends from, 0 while it is off. */
  int port() {
    CaliforniumClientEndpoint current = endpoint;
    return current == null ? 0 : current.getCoapEndpoint().getAddress().getPort();
  }

  /** Tell whether a DTLS handshake was begun that did not end well yet. */
  boolean isShakingHands() {
    CaliforniumClientEndpoint current = endpoint;
    return current != null
        && current.getCoapEndpoint().getConnector() instanceof DtlsConnector dtls
        && dtls.isShakingHands();
  }

  Gate gate() {
    return gate;
  }

  @Override
  public Collection<LwM2mServer> createEndpoints(
      Collection<? extends ServerInfo> infos,
      boolean clientInitiatedOnly,
      List<Certificate> trustStore,
      ClientEndpointToolbox toolbox) {
    return List.of(
        createEndpoint(infos.iterator().next(), clientInitiatedOnly, trustStore, toolbox));
  }

  @Override
  public void destroyEndpoints() {
    endpoint = null;
    for (Endpoint each : coapServer.getEndpoints()) {
      coapServer.getEndpoints().remove(each);
      each.destroy();
    }
  }

  @Override
  public List<LwM2mClientEndpoint> getEndpoints() {
    return endpoint == null ? List.of() : List.of(endpoint);
  }

  @Override
  public LwM2mClientEndpoint getEndpoint(LwM2mServer wanted) {
    return wanted != null && wanted.equals(server) ? endpoint : null;
  }

  @Override
  public void start() {
    // The endpoint starts when it is created, with the registration.
  }

  @Override
  public void stop() {
    destroyEndpoints();
  }

  @Override
  public void destroy() {
    destroyEndpoints();
    coapServer.destroy();
  }

  /** Knows peers of an endpoint that is gone, too: its observations are cancelled after it. */
  private final class OneIdentityHandler extends IdentityHandlerProvider {
    @Override
    public IdentityHandler getIdentityHandler(Endpoint of) {
      return identity;
    }
  }
}
