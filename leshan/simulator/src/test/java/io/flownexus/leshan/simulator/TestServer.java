package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.model.VersionedModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.send.SendListener;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

/** Is a real Leshan server on free ports that remembers what it was told. */
final class TestServer
    implements AutoCloseable, RegistrationListener, ObservationListener, SendListener {
  /** One notified value. */
  record Notified(String endpoint, String path, Object value) {}

  final BlockingQueue<Registration> registered = new LinkedBlockingQueue<>();
  final BlockingQueue<Registration> updated = new LinkedBlockingQueue<>();
  final BlockingQueue<Registration> unregistered = new LinkedBlockingQueue<>();
  final List<Notified> notified = new CopyOnWriteArrayList<>();
  final Map<String, Object> composites = new ConcurrentHashMap<>();
  final BlockingQueue<TimestampedLwM2mNodes> sent = new LinkedBlockingQueue<>();
  private final LeshanServer server;

  TestServer() throws IOException {
    this(0, builder -> {});
  }

  /** Listen on a CoAP port (0: any) and any CoAPS port. */
  TestServer(int coapPort, Consumer<LeshanServerBuilder> setting) throws IOException {
    InetAddress loopback = InetAddress.getLoopbackAddress();
    LeshanServerBuilder builder =
        new LeshanServerBuilder()
            .setObjectModelProvider(
                new VersionedModelProvider(Engine.loadModels().getObjectModels()))
            .setEndpointsProviders(
                new CaliforniumServerEndpointsProvider.Builder(
                        new CoapServerProtocolProvider(), new CoapsServerProtocolProvider())
                    .addEndpoint(new InetSocketAddress(loopback, coapPort), Protocol.COAP)
                    .addEndpoint(new InetSocketAddress(loopback, 0), Protocol.COAPS)
                    .build());
    setting.accept(builder);
    server = builder.build();
    server.getRegistrationService().addListener(this);
    server.getObservationService().addListener(this);
    server.getSendService().addListener(this);
    server.start();
  }

  int port(Protocol protocol) {
    return server.getEndpoint(protocol).getURI().getPort();
  }

  String uri(Protocol protocol) {
    return protocol.getUriScheme() + "://127.0.0.1:" + port(protocol);
  }

  /** Send a request and wait for the answer; null when there is none in time. */
  <T extends LwM2mResponse> T send(
      String endpoint, DownlinkDeviceManagementRequest<T> request, long timeoutMs)
      throws InterruptedException {
    return server.send(registration(endpoint), request, timeoutMs);
  }

  /** Send a request and count its answer. */
  <T extends LwM2mResponse> void send(
      String endpoint, DownlinkDeviceManagementRequest<T> request, Consumer<T> onResponse) {
    server.send(
        registration(endpoint), request, 30_000, onResponse::accept, Throwable::printStackTrace);
  }

  Registration registration(String endpoint) {
    return server.getRegistrationService().getByEndpoint(endpoint);
  }

  /** Wait for the next registration. */
  Registration nextRegistration() throws InterruptedException {
    return next(registered, "registration");
  }

  static <T> T next(BlockingQueue<T> queue, String what) throws InterruptedException {
    T item = queue.poll(30, TimeUnit.SECONDS);
    if (item == null) {
      throw new AssertionError("no " + what + " in 30 s");
    }
    return item;
  }

  static void await(BooleanSupplier condition, String what) throws InterruptedException {
    for (long end = System.nanoTime() + 30_000_000_000L; System.nanoTime() < end; ) {
      if (condition.getAsBoolean()) {
        return;
      }
      Thread.sleep(10);
    }
    throw new AssertionError("not in 30 s: " + what);
  }

  @Override
  public void close() {
    server.destroy();
  }

  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    registered.add(registration);
  }

  @Override
  public void updated(RegistrationUpdate update, Registration now, Registration previous) {
    updated.add(now);
  }

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration next) {
    unregistered.add(registration);
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    Object value =
        response.getContent() instanceof LwM2mSingleResource single ? single.getValue() : null;
    notified.add(new Notified(registration.getEndpoint(), observation.getPath().toString(), value));
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    response
        .getContent()
        .forEach(
            (path, node) ->
                composites.put(path.toString(), ((LwM2mSingleResource) node).getValue()));
  }

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {}

  @Override
  public void dataReceived(
      Registration registration, TimestampedLwM2mNodes data, SendRequest request) {
    sent.add(data);
  }

  @Override
  public void onError(Registration registration, String message, Exception error) {}
}
