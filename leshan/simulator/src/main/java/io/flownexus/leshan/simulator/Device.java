package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.InetAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.elements.util.SerialExecutor;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.engine.RegistrationEngineFactory;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.ReadResponse;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Simulates one device. */
final class Device implements Registrar.Listener {
  private static final Logger LOG = LoggerFactory.getLogger(Device.class);
  private static final String FACTORY_VERSION = "1.0.0";
  private static final Duration REBOOT_TIME = Duration.ofSeconds(1);
  private static final Duration INSTALL_TIME = Duration.ofSeconds(2);
  private static final Duration START_AGAIN = Duration.ofSeconds(5);
  private static final Duration KICK = Duration.ofSeconds(1);
  private static final long SEND_TIMEOUT_MS = 10_000;

  private final String endpoint;
  private final GroupSpec spec;
  private final Engine engine;
  private final Radio radio = new Radio();
  private final Executor serial;
  private final Map<Integer, SimulatedObject> objects = new TreeMap<>();
  private final TemperatureObject temperature;
  private final DeviceObject device;
  private final EventLogObject log = new EventLogObject();
  private final Notifications notifications;
  private final RequestLog requests;
  private final DeviceEndpoints endpoints;
  private final LeshanClient client;
  private Registrar registrar;
  private ScheduledFuture<?> sleeping;
  private volatile boolean on;
  private final Runnable tick = this::tick;
  private final AtomicBoolean ticking = new AtomicBoolean();
  private volatile Duration interval;
  private volatile boolean putOff;
  private volatile boolean tried;
  private volatile String lastFailure;

  /**
   * Says where and how devices connect.
   *
   * @param seed what the temperatures' drift depends on, with the endpoint's name
   */
  record Setting(
      String serverUri,
      Credentials credentials,
      InetAddress bind,
      JsonLines ledger,
      JsonLines unacknowledged,
      JsonLines requests,
      long seed) {}

  /** Build a device that is off; IOException when its credentials cannot be read. */
  Device(String endpoint, GroupSpec spec, Engine engine, Setting setting) throws IOException {
    this.endpoint = endpoint;
    this.spec = spec;
    this.engine = engine;
    serial = new SerialExecutor(engine.timers);
    notifications =
        new Notifications(
            endpoint, setting.ledger(), setting.unacknowledged(), this::lostNotification);
    requests = new RequestLog(endpoint, setting.requests(), spec.failing());
    endpoints =
        new DeviceEndpoints(
            endpoint,
            engine,
            setting.bind(),
            radio,
            setting.credentials(),
            notifications,
            requests,
            spec.slow(),
            spec.ackTimeout());
    temperature = new TemperatureObject(setting.seed() * 31 + endpoint.hashCode());
    device = new DeviceObject(endpoint, FACTORY_VERSION, this::reboot);
    objects.put(3, device);
    objects.put(5, new FirmwareObject(engine, FACTORY_VERSION, INSTALL_TIME, this::installed));
    objects.put(20, log);
    objects.put(3303, temperature);
    Map<Integer, BaseInstanceEnabler> instances = new TreeMap<>(objects);
    instances.put(0, setting.credentials().security(setting.serverUri(), endpoint));
    instances.put(1, serverObject());
    client = DeviceClient.build(endpoint, engine, instances, endpoints, requests, registration());
    notifications.whenIdle(this::catchUp);
    interval = spec.interval();
    schedule();
  }

  /** Notify at another interval; zero: never; null: as fast as ACKs come. */
  synchronized void notifyEvery(Duration changed) {
    if (!ticks().isZero()) {
      engine.noLonger(ticks(), tick);
    }
    interval = changed;
    putOff = false;
    schedule();
  }

  private void schedule() {
    if (!ticks().isZero()) {
      engine.every(ticks(), tick);
    }
  }

  private Duration ticks() {
    return interval == null ? KICK : interval;
  }

  private Server serverObject() {
    return new Server(
        Credentials.SERVER_ID,
        spec.lifetime().toSeconds(),
        EnumSet.of(BindingMode.U),
        false,
        BindingMode.U);
  }

  private RegistrationEngineFactory registration() {
    return (name,
        tree,
        manager,
        sender,
        bootstrap,
        observer,
        more,
        bsMore,
        formats,
        threads,
        links,
        servers) -> {
      registrar =
          new Registrar(
              endpoint,
              engine,
              serial,
              manager,
              sender,
              tree,
              formats,
              spec.sleepy(),
              spec.update(),
              this);
      return registrar;
    };
  }

  String endpoint() {
    return endpoint;
  }

  /** Tell whether a registration has been sent since the device was built. */
  boolean hasTried() {
    return tried;
  }

  /** Return why the last request failed, or null when the server was reached since. */
  String lastFailure() {
    return lastFailure;
  }

  /** Name the state: stopped, registering, registered, asleep or deregistered. */
  String state() {
    return switch (registrar.state()) {
      case OFF -> "stopped";
      case REGISTERING -> "registering";
      case REGISTERED -> radio.isOn() ? "registered" : "asleep";
      case DEREGISTERED -> "deregistered";
    };
  }

  /** Turn on: open a socket, register, and go on trying. */
  void start() {
    serial.execute(this::turnOn);
  }

  private void turnOn() {
    if (on) {
      return;
    }
    on = true;
    radio.turn(true);
    try {
      client.start();
    } catch (RuntimeException e) {
      LOG.error("{} cannot start: {}", endpoint, e.getMessage());
      on = false;
      tried = true;
      engine.after(START_AGAIN, this::start);
      return;
    }
    log.log("started");
  }

  /** Turn off without a word; the socket is closed. */
  void stop() {
    serial.execute(this::turnOff);
  }

  private void turnOff() {
    if (!on) {
      return;
    }
    on = false;
    cancelSleep();
    notifications.reset("the device was turned off");
    client.stop(false);
    endpoints.forgetObservations();
  }

  /** Take leave of the server, then turn off. */
  void deregister() {
    serial.execute(
        () -> {
          cancelSleep();
          registrar.deregister(this::leave);
        });
  }

  private void leave() {
    turnOff();
    registrar.left();
  }

  /** Register anew, turning on if need be. */
  void register() {
    serial.execute(
        () -> {
          if (on) {
            registrar.register();
          } else {
            turnOn();
          }
        });
  }

  /** Send a registration update now; false when there is no registration to update. */
  boolean update() {
    if (registrar.state() != Registrar.State.REGISTERED) {
      return false;
    }
    registrar.triggerRegistrationUpdate();
    return true;
  }

  private void reboot() {
    log.log("reboot");
    engine.after(
        REBOOT_TIME,
        () ->
            serial.execute(
                () -> {
                  if (on) {
                    turnOff();
                    turnOn();
                  }
                }));
  }

  private void installed(String version) {
    device.setFirmwareVersion(version);
    log.log("installed " + version);
    reboot();
  }

  /** Answer 5.00 to all requests, or no longer. */
  void fail(boolean failing) {
    requests.fail(failing);
  }

  /** Answer requests so much later. */
  void slow(Duration delay) {
    endpoints.gate().delay(delay);
  }

  /** Set a resource as the device itself would; IllegalArgumentException when it cannot. */
  void set(LwM2mPath path, String value) {
    if (!path.isResource() && !path.isResourceInstance()) {
      throw new IllegalArgumentException(path + " is not the path of a resource");
    }
    SimulatedObject object = objects.get(path.getObjectId());
    if (object == null || path.getObjectInstanceId() != 0) {
      throw new IllegalArgumentException("the device has no " + path);
    }
    object.set(path, value);
  }

  /**
   * Send resources' values unasked.
   *
   * @param timestamps how many values of each, a second apart; 0: one, without a time
   * @return the response code, like "2.04", or a failure
   */
  CompletableFuture<String> send(List<LwM2mPath> paths, int timestamps) {
    LwM2mServer server = registrar.server();
    if (registrar.state() != Registrar.State.REGISTERED) {
      throw new IllegalStateException(endpoint + " is " + state());
    }
    sending();
    TimestampedLwM2mNodes values = collect(paths, timestamps);
    CompletableFuture<String> result = new CompletableFuture<>();
    registrar
        .sender()
        .send(
            server,
            new SendRequest(ContentFormat.SENML_CBOR, values, null),
            SEND_TIMEOUT_MS,
            response -> {
              stayAwakeForAWhile();
              int code = response.getCode().getCode();
              String shown = "%d.%02d".formatted(code / 100, code % 100);
              int mid = ((Request) response.getCoapResponse()).getMID();
              record(values, mid, response.isSuccess() ? null : shown);
              result.complete(shown);
            },
            error -> {
              stayAwakeForAWhile();
              record(values, Message.NONE, String.valueOf(error.getMessage()));
              result.completeExceptionally(error);
            });
    return result;
  }

  private TimestampedLwM2mNodes collect(List<LwM2mPath> paths, int timestamps) {
    TimestampedLwM2mNodes.Builder nodes = TimestampedLwM2mNodes.builder();
    Instant now = Instant.ofEpochMilli(System.currentTimeMillis());
    for (int i = Math.max(1, timestamps); i > 0; i--) {
      for (LwM2mPath path : paths) {
        if (path.getObjectId() == 3303) {
          temperature.put(TemperatureObject.VALUE, temperature.next());
        }
        put(nodes, timestamps == 0 ? null : now.minusSeconds(i - 1), path, resource(path));
      }
    }
    return nodes.build();
  }

  // A Send has no multiple resources: each instance goes by its own path.
  private static void put(
      TimestampedLwM2mNodes.Builder nodes, Instant time, LwM2mPath path, LwM2mResource resource) {
    if (!resource.isMultiInstances()) {
      nodes.put(time, path, resource);
      return;
    }
    resource
        .getInstances()
        .values()
        .forEach(
            instance ->
                nodes.put(
                    time,
                    new LwM2mPath(
                        path.getObjectId(),
                        path.getObjectInstanceId(),
                        path.getResourceId(),
                        instance.getId()),
                    instance));
  }

  private LwM2mResource resource(LwM2mPath path) {
    SimulatedObject object = objects.get(path.getObjectId());
    if (object == null || !path.isResource() || path.getObjectInstanceId() != 0) {
      throw new IllegalArgumentException("the device has no resource " + path);
    }
    ReadResponse read = object.read(LwM2mServer.SYSTEM, path.getResourceId());
    if (read.isFailure()) {
      throw new IllegalArgumentException("the device has no value at " + path);
    }
    return (LwM2mResource) read.getContent();
  }

  private void record(TimestampedLwM2mNodes values, int mid, String why) {
    for (Instant time : values.getTimestamps()) {
      Long timestamp = time == null ? null : (Long) time.toEpochMilli();
      values
          .getNodesAt(time)
          .forEach(
              (path, node) ->
                  Values.each(
                      path,
                      node,
                      (each, value) -> notifications.sent(each, value, mid, timestamp, why)));
    }
  }

  /** Change the temperature, or put it off until its last change has been acknowledged. */
  private void tick() {
    if (!on || !radio.isOn()) {
      return;
    }
    // Two ticks at once would notify one value twice.
    if (!ticking.compareAndSet(false, true)) {
      putOff = true;
      return;
    }
    try {
      if (notifications.areUnderWay()) {
        putOff = true;
      } else {
        temperature.drift();
      }
    } finally {
      ticking.set(false);
    }
  }

  private void catchUp() {
    if (putOff || interval == null) {
      putOff = false;
      tick();
    }
  }

  /** CoAP has forgotten the observers by now, which is all that most devices do. */
  private void lostNotification() {
    if (spec.renews()) {
      serial.execute(() -> registrar.renew(radio.isOn()));
    }
  }

  @Override
  public void registering() {
    notifications.reset("the device registered anew");
    endpoints.forgetObservations();
  }

  @Override
  public void sending() {
    cancelSleep();
    radio.turn(true);
    tried = true;
  }

  @Override
  public void reached() {
    lastFailure = null;
    stayAwakeForAWhile();
  }

  @Override
  public void failed(String reason) {
    lastFailure = reason;
    LOG.debug("{}: {}", endpoint, reason);
  }

  private synchronized void stayAwakeForAWhile() {
    if (spec.sleepy()) {
      cancelSleep();
      sleeping =
          engine.timers.schedule(
              () -> radio.turn(false), spec.awake().toNanos(), TimeUnit.NANOSECONDS);
    }
  }

  private synchronized void cancelSleep() {
    if (sleeping != null) {
      sleeping.cancel(false);
      sleeping = null;
    }
  }

  /** Describe the device in short. */
  Map<String, Object> summary() {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("ep", endpoint);
    all.put("state", state());
    all.put("registration_id", registrar.getRegistrationId(null));
    all.put("port", endpoints.port());
    all.put("last_failure", lastFailure);
    return all;
  }

  /** Describe the device with its behaviour, counters and readable values. */
  Map<String, Object> details() {
    Map<String, Object> all = summary();
    all.put("sleepy", spec.sleepy());
    all.put("failing", requests.isFailing());
    all.put("slow_s", endpoints.gate().delay().toMillis() / 1000.0);
    all.put("open_requests", endpoints.gate().open());
    all.put("observations", endpoints.observations());
    all.put("acknowledged", notifications.acknowledged());
    all.put("values", values());
    return all;
  }

  private Map<String, Object> values() {
    Map<String, Object> values = new LinkedHashMap<>();
    objects.forEach(
        (id, object) -> {
          for (ResourceModel resource : new TreeMap<>(object.getModel().resources).values()) {
            Object value = resource.operations.isReadable() ? object.value(resource.id) : null;
            if (value != null) {
              values.put("/" + id + "/0/" + resource.id, Values.plain(value));
            }
          }
        });
    return values;
  }
}
