package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.cert.Certificate;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.network.Endpoint;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpoint;
import org.eclipse.leshan.client.endpoint.LwM2mClientEndpointsProvider;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.core.SecurityMode;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.PskIdentity;
import org.eclipse.leshan.core.peer.X509Identity;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.SendResponse;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpoint;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.ClientCoapMessageTranslator;
import org.eclipse.leshan.transport.californium.client.endpoint.ServerIdentityExtractor;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientEndpointFactory;
import org.eclipse.leshan.transport.californium.identity.IdentityHandler;
import org.eclipse.leshan.transport.californium.identity.IdentityHandlerProvider;

/**
 * Gives a device its CoAP endpoint, on threads shared by all devices (Leshan's own provider starts
 * some for each client).
 */
final class DeviceEndpoints implements LwM2mClientEndpointsProvider {
  private final String endpointName;
  private final Engine engine;
  private final InetAddress bind;
  private final Radio radio;
  private final Credentials credentials;
  private final Notifications notifications;
  private final RequestLog requests;
  private final Duration slow;
  private final Configuration config;
  private final IdentityHandlerProvider identities = new OneIdentityHandler();
  private final ClientCoapMessageTranslator translator = new NotifyingTranslator();
  private LwM2mObjectTree objects;
  private CoapServer coapServer;
  private Gate gate;
  private volatile IdentityHandler identity;
  private volatile LwM2mServer server;
  private volatile CaliforniumClientEndpoint endpoint;

  DeviceEndpoints(
      String endpointName,
      Engine engine,
      InetAddress bind,
      Radio radio,
      Credentials credentials,
      Notifications notifications,
      RequestLog requests,
      Duration slow,
      Duration ackTimeout) {
    this.endpointName = endpointName;
    this.engine = engine;
    this.bind = bind;
    this.radio = radio;
    this.credentials = credentials;
    this.notifications = notifications;
    this.requests = requests;
    this.slow = slow;
    config =
        new Configuration(engine.coap)
            .set(CoapConfig.ACK_TIMEOUT, ackTimeout.toMillis(), TimeUnit.MILLISECONDS);
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
    coapServer.setExecutor(engine.protocol, true);
    gate = new Gate(coapServer.getMessageDeliverer(), coapServer.getRoot(), requests, engine, slow);
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
    CaliforniumClientEndpointFactory factory = info.isSecure() ? new Secured() : new Plain();
    try {
      credentials.complete(info, endpointName);
      CoapEndpoint coap =
          factory.createCoapEndpoint(bind, config, info, clientInitiatedOnly, trustStore, toolbox);
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
              engine.timers);
      server = new LwM2mServer(peerOf(info), info.serverId, info.serverUri);
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

  /** Return the port the device sends from, 0 while it is off. */
  int port() {
    CaliforniumClientEndpoint current = endpoint;
    return current == null ? 0 : current.getCoapEndpoint().getAddress().getPort();
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

  private final class NotifyingTranslator extends ClientCoapMessageTranslator {
    /** Keep with a Send's response what Leshan leaves out: the CoAP message, for its id. */
    @Override
    public <T extends LwM2mResponse> T createLwM2mResponse(
        LwM2mServer from,
        UplinkRequest<T> request,
        Request coapRequest,
        Response coapResponse,
        ClientEndpointToolbox toolbox) {
      T response = super.createLwM2mResponse(from, request, coapRequest, coapResponse, toolbox);
      if (response instanceof SendResponse sent) {
        @SuppressWarnings("unchecked")
        T whole = (T) new SendResponse(sent.getCode(), sent.getErrorMessage(), coapRequest);
        return whole;
      }
      return response;
    }

    @Override
    public Resource createRootResource(
        CoapServer coap,
        IdentityHandlerProvider handlers,
        ServerIdentityExtractor servers,
        DownlinkRequestReceiver receiver,
        ClientEndpointToolbox toolbox,
        LwM2mObjectTree tree) {
      NotifyingRoot root =
          new NotifyingRoot(
              handlers, servers, coap, receiver, toolbox, notifications, engine.protocol);
      tree.addListener(new CompositeListener(root));
      return root;
    }

    @Override
    public CoapResource createObjectResource(
        LwM2mObjectEnabler enabler,
        IdentityHandlerProvider handlers,
        ServerIdentityExtractor servers,
        DownlinkRequestReceiver receiver,
        NotificationManager manager,
        ClientEndpointToolbox toolbox) {
      NotifyingObject object =
          new NotifyingObject(
              enabler.getId(),
              handlers,
              servers,
              receiver,
              manager,
              toolbox,
              notifications,
              engine.protocol);
      enabler.addListener(object);
      return object;
    }
  }

  private final class Plain extends CoapClientEndpointFactory {
    @Override
    protected Connector createConnector(InetSocketAddress address, Configuration config) {
      return new UdpConnector(address, radio, engine.poller);
    }
  }

  private final class Secured extends CoapsClientEndpointFactory {
    @Override
    protected Connector createSecuredConnector(DtlsConnectorConfig config) {
      return new DtlsConnector(config, radio, engine.protocol);
    }
  }
}
