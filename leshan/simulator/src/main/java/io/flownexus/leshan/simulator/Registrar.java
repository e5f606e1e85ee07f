package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.eclipse.leshan.client.EndpointsManager;
import org.eclipse.leshan.client.RegistrationUpdate;
import org.eclipse.leshan.client.engine.RegistrationEngine;
import org.eclipse.leshan.client.request.UplinkRequestSender;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.resource.ObjectTreeReader;
import org.eclipse.leshan.client.servers.DmServerInfo;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.RegisterResponse;

/**
 * Registers a device and keeps it registered, without ever blocking a thread (Leshan's own engine
 * holds one for as long as a server does not answer).
 *
 * <p>Its methods run on the device's own serial executor, except where they say otherwise.
 */
final class Registrar implements RegistrationEngine {
  private static final long TIMEOUT_MS = 10_000;
  private static final long DEREGISTER_TIMEOUT_MS = 3_000;
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(15);

  private final String endpoint;
  private final Engine engine;
  private final Executor serial;
  private final EndpointsManager endpoints;
  private final UplinkRequestSender sender;
  private final Map<Integer, LwM2mObjectEnabler> objects;
  private final List<ContentFormat> formats;
  private final boolean queueMode;
  private final Duration interval;
  private final Listener listener;
  private volatile State state = State.OFF;
  private volatile String registrationId;
  private volatile LwM2mServer server;
  private ScheduledFuture<?> timer;
  private boolean renewing;
  private int failures;
  private int epoch;

  /** Names what a device is to its server. */
  enum State {
    OFF,
    REGISTERING,
    REGISTERED,
    DEREGISTERED
  }

  /** Is told what becomes of a registration. */
  interface Listener {
    /** A registration begins: what the server knew before is void. */
    void registering();

    /** A request is about to be sent. */
    void sending();

    /** The server has registered the device, or taken its update. */
    void reached();

    /** The server did not answer, or refused. */
    void failed(String reason);
  }

  Registrar(
      String endpoint,
      Engine engine,
      Executor serial,
      EndpointsManager endpoints,
      UplinkRequestSender sender,
      LwM2mObjectTree tree,
      Set<ContentFormat> formats,
      boolean queueMode,
      Duration interval,
      Listener listener) {
    this.endpoint = endpoint;
    this.engine = engine;
    this.serial = serial;
    this.endpoints = endpoints;
    this.sender = sender;
    this.objects = tree.getObjectEnablers();
    this.formats = ContentFormat.getOptionalContentFormatForClient(formats, Engine.VERSION);
    this.queueMode = queueMode;
    this.interval = interval;
    this.listener = listener;
  }

  State state() {
    return state;
  }

  LwM2mServer server() {
    return server;
  }

  UplinkRequestSender sender() {
    return sender;
  }

  @Override
  public void start() {
    Collection<DmServerInfo> infos = engine.servers.getInfo(objects).deviceManagements.values();
    server = endpoints.createEndpoint(infos.iterator().next(), queueMode);
    register();
  }

  @Override
  public void stop(boolean deregister) {
    leave(State.OFF);
  }

  @Override
  public void destroy(boolean deregister) {
    leave(State.OFF);
  }

  private void leave(State to) {
    epoch++;
    cancelTimer();
    state = to;
    registrationId = null;
  }

  /** Register anew. */
  void register() {
    leave(State.REGISTERING);
    renewing = false;
    listener.registering();
    listener.sending();
    RegisterRequest request =
        new RegisterRequest(
            endpoint,
            info().lifetime,
            Engine.VERSION.toString(),
            ObjectTreeReader.getDeviceSupportedBindingMode(objects.get(3), 0),
            queueMode,
            null,
            engine.links.getClientDescription(objects.values(), null, formats),
            null);
    send(request, TIMEOUT_MS, this::registered, this::retry);
  }

  private void registered(LwM2mResponse response) {
    if (!response.isSuccess()) {
      retry(refusal("registration", response));
      return;
    }
    registrationId = ((RegisterResponse) response).getRegistrationID();
    state = State.REGISTERED;
    settled();
  }

  private void settled() {
    failures = 0;
    listener.reached();
    Duration wait = interval.compareTo(longest()) > 0 ? longest() : interval;
    schedule(wait, this::updateWhenDue);
  }

  /** A server may have set a lifetime too short for the interval. */
  private Duration longest() {
    return Duration.ofSeconds(info().lifetime).dividedBy(2).plusMillis(1);
  }

  private void updateWhenDue() {
    if (renewing) {
      register();
    } else {
      update(new RegistrationUpdate(), true);
    }
  }

  private void retry(String reason) {
    failures++;
    listener.failed(reason);
    endpoints.forceReconnection(server, failures == 1);
    Duration pause = Duration.ofSeconds(1L << Math.min(failures - 1, 4));
    schedule(pause.compareTo(LONGEST_PAUSE) > 0 ? LONGEST_PAUSE : pause, this::register);
  }

  private void update(RegistrationUpdate changes, boolean again) {
    if (state != State.REGISTERED) {
      return;
    }
    cancelTimer();
    listener.sending();
    UpdateRequest request =
        new UpdateRequest(
            registrationId,
            changes.getLifeTimeInSec(),
            changes.getSmsNumber(),
            changes.getBindingMode(),
            changes.getObjectLinks(),
            changes.getAdditionalAttributes());
    send(request, TIMEOUT_MS, this::updated, reason -> updateFailed(changes, again, reason));
  }

  private void updated(LwM2mResponse response) {
    if (response.getCode() == ResponseCode.CHANGED) {
      settled();
    } else {
      listener.failed(refusal("update", response));
      register();
    }
  }

  private void updateFailed(RegistrationUpdate changes, boolean again, String reason) {
    listener.failed(reason);
    endpoints.forceReconnection(server, true);
    if (again) {
      update(changes, false);
    } else {
      register();
    }
  }

  /** Register anew at the next chance: now, or when the device wakes. */
  void renew(boolean awake) {
    if (state != State.REGISTERED) {
      return;
    } else if (awake) {
      register();
    } else {
      renewing = true;
    }
  }

  /** Leave the server, then call `done`, whether it answered or not. */
  void deregister(Runnable done) {
    String id = registrationId;
    leave(State.DEREGISTERED);
    if (id == null) {
      done.run();
      return;
    }
    listener.sending();
    send(
        new DeregisterRequest(id),
        DEREGISTER_TIMEOUT_MS,
        response -> done.run(),
        reason -> done.run());
  }

  /** Note, once the device is off, that it has taken leave. */
  void left() {
    state = State.DEREGISTERED;
  }

  /** Send, and take the outcome only if nothing else has begun meanwhile. */
  private <T extends LwM2mResponse> void send(
      UplinkRequest<T> request,
      long timeoutMs,
      Consumer<? super LwM2mResponse> onResponse,
      Consumer<String> onError) {
    int mine = ++epoch;
    try {
      sender.send(
          server,
          request,
          timeoutMs,
          response -> serial.execute(() -> ifCurrent(mine, () -> onResponse.accept(response))),
          error -> serial.execute(() -> ifCurrent(mine, () -> onError.accept(reason(error)))));
    } catch (RuntimeException e) {
      serial.execute(() -> ifCurrent(mine, () -> onError.accept(reason(e))));
    }
  }

  private void ifCurrent(int mine, Runnable action) {
    if (mine == epoch) {
      action.run();
    }
  }

  private static String reason(Throwable error) {
    Throwable root = error;
    while (root.getCause() != null) {
      root = root.getCause();
    }
    return root == error ? error.getMessage() : error.getMessage() + ": " + root.getMessage();
  }

  private static String refusal(String what, LwM2mResponse response) {
    return what + " refused: " + response.getCode() + " " + response.getErrorMessage();
  }

  private DmServerInfo info() {
    return engine.servers.getDMServerInfo(objects, (long) Credentials.SERVER_ID);
  }

  /** Vary the wait a little: devices must not all come at once. */
  private void schedule(Duration wait, Runnable action) {
    cancelTimer();
    int mine = epoch;
    double nanos = wait.toNanos() * ThreadLocalRandom.current().nextDouble(0.9, 1);
    timer =
        engine.timers.schedule(
            () -> serial.execute(() -> ifCurrent(mine, action)),
            (long) nanos,
            TimeUnit.NANOSECONDS);
  }

  private void cancelTimer() {
    if (timer != null) {
      timer.cancel(false);
      timer = null;
    }
  }

  /** Send an update soon; any thread may call this, whatever it holds. */
  @Override
  public void triggerRegistrationUpdate(RegistrationUpdate changes) {
    serial.execute(() -> update(changes, true));
  }

  @Override
  public void triggerRegistrationUpdate() {
    triggerRegistrationUpdate(new RegistrationUpdate());
  }

  @Override
  public void triggerRegistrationUpdate(LwM2mServer to) {
    triggerRegistrationUpdate(new RegistrationUpdate());
  }

  @Override
  public void triggerRegistrationUpdate(LwM2mServer to, RegistrationUpdate changes) {
    triggerRegistrationUpdate(changes);
  }

  @Override
  public boolean triggerClientInitiatedBootstrap(boolean deregister) {
    return false;
  }

  @Override
  public String getRegistrationId(LwM2mServer of) {
    return registrationId;
  }

  @Override
  public Map<String, LwM2mServer> getRegisteredServers() {
    String id = registrationId;
    return id == null ? Map.of() : Map.of(id, server);
  }

  @Override
  public LwM2mServer getRegisteredServer(long serverId) {
    return isAllowedToCommunicate(server) ? server : null;
  }

  @Override
  public boolean isAllowedToCommunicate(LwM2mServer peer) {
    State now = state;
    return peer != null
        && peer.equals(server)
        && (now == State.REGISTERING || now == State.REGISTERED);
  }

  @Override
  public String getEndpoint() {
    return endpoint;
  }
}
