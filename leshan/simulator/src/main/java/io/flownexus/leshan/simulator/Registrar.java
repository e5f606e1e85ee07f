package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import org.eclipse.leshan.client.RegistrationUpdate;
import org.eclipse.leshan.client.bootstrap.BootstrapHandler;
import org.eclipse.leshan.client.bootstrap.InvalidStateException;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.RegisterResponse;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Registers a device and keeps it registered, without ever blocking a thread (Leshan's own engine
 * holds one for as long as a server does not answer).
 */
final class Registrar {
  private static final Logger LOG = LoggerFactory.getLogger(Registrar.class);
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final Duration DEREGISTER_TIMEOUT = Duration.ofSeconds(3);
  private static final Duration BOOTSTRAP_TIMEOUT = Duration.ofSeconds(60);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(15);

  private final DeviceContext context;
  private final ServerLink link;
  private final BootstrapHandler bootstrap;
  private final Listener listener;
  private final LatestStep step;
  private volatile State state = State.OFF;
  private volatile String registrationId;
  private volatile boolean tried;
  private volatile String lastFailure;
  private boolean renewing;
  private int failures;

  /** Names what a device is to its server. */
  enum State {
    OFF,
    BOOTSTRAPPING,
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
  }

  Registrar(DeviceContext context, ServerLink link, BootstrapHandler bootstrap, Listener listener) {
    this.context = context;
    this.link = link;
    this.bootstrap = bootstrap;
    this.listener = listener;
    step = new LatestStep(context);
  }

  State state() {
    return state;
  }

  String registrationId() {
    return registrationId;
  }

  ServerLink link() {
    return link;
  }

  /** Tell whether it has been tried to register since the device was built. */
  boolean hasTried() {
    return tried;
  }

  /** Return why the last request failed, or null when the server was reached since. */
  String lastFailure() {
    return lastFailure;
  }

  /** Tell whether requests of a peer are to be answered. */
  boolean talksTo(LwM2mServer peer) {
    State now = state;
    return peer != null
        && peer.equals(link.server())
        && (now == State.BOOTSTRAPPING || now == State.REGISTERING || now == State.REGISTERED);
  }

  /** Open a socket and register; IllegalStateException when there is no socket. */
  void start() {
    tried = true;
    if (link.mustBootstrap()) {
      bootstrap();
      return;
    }
    link.open();
    register();
  }

  private void bootstrap() {
    leave(State.BOOTSTRAPPING);
    listener.sending();
    link.openBootstrap();
    bootstrap.tryToInitSession();
    send(new BootstrapRequest(context.endpoint()), TIMEOUT, this::begun, this::notBootstrapped);
  }

  private void begun(LwM2mResponse response) {
    if (!response.isSuccess()) {
      notBootstrapped(refusal("bootstrap", response));
      return;
    }
    Executor then = step.next();
    context
        .engine()
        .bootstraps
        .execute(
            () -> {
              String failure = awaitFinish();
              then.execute(() -> bootstrapped(failure));
            });
  }

  /** Wait as long as the server writes; return why it has not finished, or null. */
  private String awaitFinish() {
    try {
      return bootstrap.waitBootstrapFinished(BOOTSTRAP_TIMEOUT.toSeconds())
          ? null
          : "the bootstrap server did not finish";
    } catch (InvalidStateException e) {
      return e.getMessage();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "interrupted";
    }
  }

  private void bootstrapped(String failure) {
    if (failure != null) {
      notBootstrapped(failure);
      return;
    }
    bootstrap.closeSession();
    link.open();
    register();
  }

  private void notBootstrapped(String reason) {
    bootstrap.closeSession();
    failures++;
    failed(reason);
    waitFor(pause(), this::bootstrap);
  }

  /** Forget the registration, without a word to the server. */
  void stop() {
    leave(State.OFF);
  }

  private void leave(State to) {
    assert context.executor().isCurrent();
    step.cancel();
    state = to;
    registrationId = null;
  }

  /** Register anew. */
  void register() {
    leave(State.REGISTERING);
    renewing = false;
    listener.registering();
    listener.sending();
    send(link.registration(), TIMEOUT, this::registered, this::retry);
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
    lastFailure = null;
    listener.reached();
    Duration interval = context.spec().update();
    waitFor(interval.compareTo(longest()) > 0 ? longest() : interval, this::updateWhenDue);
  }

  /** A server may have set a lifetime too short for the interval. */
  private Duration longest() {
    return link.lifetime().dividedBy(2).plusMillis(1);
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
    failed(reason);
    link.reconnect(failures == 1);
    waitFor(pause(), this::register);
  }

  private Duration pause() {
    Duration pause = Duration.ofSeconds(1L << Math.min(failures - 1, 4));
    return pause.compareTo(LONGEST_PAUSE) > 0 ? LONGEST_PAUSE : pause;
  }

  private void failed(String reason) {
    lastFailure = reason;
    LOG.debug("{}: {}", context.endpoint(), reason);
  }

  /** Send an update soon; any thread may call this, whatever it holds. */
  void update(RegistrationUpdate changes) {
    context.executor().execute(() -> update(changes, true));
  }

  private void update(RegistrationUpdate changes, boolean again) {
    if (state != State.REGISTERED) {
      return;
    }
    listener.sending();
    UpdateRequest request =
        new UpdateRequest(
            registrationId,
            changes.getLifeTimeInSec(),
            changes.getSmsNumber(),
            changes.getBindingMode(),
            changes.getObjectLinks(),
            changes.getAdditionalAttributes());
    send(request, TIMEOUT, this::updated, reason -> updateFailed(changes, again, reason));
  }

  private void updated(LwM2mResponse response) {
    if (response.getCode() == ResponseCode.CHANGED) {
      settled();
    } else {
      failed(refusal("update", response));
      register();
    }
  }

  private void updateFailed(RegistrationUpdate changes, boolean again, String reason) {
    failed(reason);
    link.reconnect(true);
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
        DEREGISTER_TIMEOUT,
        response -> done.run(),
        reason -> done.run());
  }

  /** Note, once the device is off, that it has taken leave. */
  void left() {
    state = State.DEREGISTERED;
  }

  private <T extends LwM2mResponse> void send(
      UplinkRequest<T> request,
      Duration timeout,
      Consumer<? super T> onResponse,
      Consumer<String> onFailure) {
    link.send(request, timeout, step.next(), onResponse, onFailure);
  }

  private static String refusal(String what, LwM2mResponse response) {
    return what + " refused: " + response.getCode() + " " + response.getErrorMessage();
  }

  /** Vary the wait a little: devices must not all come at once. */
  private void waitFor(Duration wait, Runnable action) {
    double nanos = wait.toNanos() * ThreadLocalRandom.current().nextDouble(0.9, 1);
    step.after(Duration.ofNanos((long) nanos), action);
  }
}
