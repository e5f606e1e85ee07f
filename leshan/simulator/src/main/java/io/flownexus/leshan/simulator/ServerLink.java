package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.eclipse.californium.scandium.dtls.HandshakeException;
import org.eclipse.leshan.client.EndpointsManager;
import org.eclipse.leshan.client.request.UplinkRequestSender;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.resource.ObjectTreeReader;
import org.eclipse.leshan.client.servers.DmServerInfo;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.response.ErrorCallback;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ResponseCallback;

/** Leads to the server that objects 0 and 1 name. */
final class ServerLink {
  private final DeviceContext context;
  private final EndpointsManager endpoints;
  private final UplinkRequestSender sender;
  private final Map<Integer, LwM2mObjectEnabler> objects;
  private final List<ContentFormat> formats;
  private final BooleanSupplier shakingHands;
  private volatile LwM2mServer server;

  ServerLink(
      DeviceContext context,
      EndpointsManager endpoints,
      UplinkRequestSender sender,
      LwM2mObjectTree tree,
      Set<ContentFormat> formats,
      BooleanSupplier shakingHands) {
    this.context = context;
    this.endpoints = endpoints;
    this.sender = sender;
    this.objects = tree.getObjectEnablers();
    this.shakingHands = shakingHands;
    this.formats = ContentFormat.getOptionalContentFormatForClient(formats, Engine.VERSION);
  }

  /** Open a socket; IllegalStateException when there is none. */
  void open() {
    Collection<DmServerInfo> infos =
        context.engine().servers.getInfo(objects).deviceManagements.values();
    server = endpoints.createEndpoint(infos.iterator().next(), context.spec().sleepy());
  }

  /** Say whether the device knows its bootstrap server alone. */
  boolean mustBootstrap() {
    return context.engine().servers.getInfo(objects).deviceManagements.isEmpty();
  }

  /** Open a socket for the bootstrap server; IllegalStateException when there is none. */
  void openBootstrap() {
    server = endpoints.createEndpoint(context.engine().servers.getInfo(objects).bootstrap, false);
  }

  /** Return the server; null until the socket has been opened for the first time. */
  LwM2mServer server() {
    return server;
  }

  /** Connect anew, if the transport knows connections; `resume` lets it be by an old session. */
  void reconnect(boolean resume) {
    endpoints.forceReconnection(server, resume);
  }

  /** Return for how long a registration is good, which the server may have set. */
  Duration lifetime() {
    return Duration.ofSeconds(info().lifetime);
  }

  private DmServerInfo info() {
    return context.engine().servers.getDMServerInfo(objects, (long) Credentials.SERVER_ID);
  }

  /** Make a registration that lists the device's objects. */
  RegisterRequest registration() {
    return new RegisterRequest(
        context.endpoint(),
        info().lifetime,
        Engine.VERSION.toString(),
        ObjectTreeReader.getDeviceSupportedBindingMode(objects.get(ObjectKind.DEVICE.id), 0),
        context.spec().sleepy(),
        null,
        context.engine().links.getClientDescription(objects.values(), null, formats),
        attributes());
  }

  private Map<String, String> attributes() {
    GroupSpec spec = context.spec();
    return spec.sleepy() && spec.tells()
        ? Map.of("awake", String.valueOf(spec.awake().toSeconds()))
        : null;
  }

  /** Send a request; any thread may bring what comes of it. */
  <T extends LwM2mResponse> void send(
      UplinkRequest<T> request,
      Duration timeout,
      ResponseCallback<T> onResponse,
      ErrorCallback onError) {
    sender.send(server, request, timeout.toMillis(), onResponse, onError);
  }

  /** Send a request; what comes of it, a response or a reason, runs on an executor. */
  <T extends LwM2mResponse> void send(
      UplinkRequest<T> request,
      Duration timeout,
      Executor then,
      Consumer<? super T> onResponse,
      Consumer<String> onFailure) {
    try {
      send(
          request,
          timeout,
          response -> then.execute(() -> onResponse.accept(response)),
          error -> then.execute(() -> onFailure.accept(reason(error))));
    } catch (RuntimeException e) {
      then.execute(() -> onFailure.accept(reason(e)));
    }
  }

  private String reason(Throwable error) {
    if (error instanceof HandshakeException failure) {
      return "DTLS handshake failed, %s: %s"
          .formatted(failure.getAlert().getDescription(), root(failure).getMessage());
    } else if (error.getCause() instanceof HandshakeException failure) {
      return reason(failure);
    } else if (shakingHands.getAsBoolean()) {
      return "DTLS handshake not completed: the server is not there, or refuses identity or key";
    }
    Throwable root = root(error);
    return root == error ? error.getMessage() : error.getMessage() + ": " + root.getMessage();
  }

  private static Throwable root(Throwable error) {
    return error.getCause() == null ? error : root(error.getCause());
  }
}
