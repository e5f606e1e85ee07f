package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.eclipse.californium.core.network.Endpoint;
import org.eclipse.leshan.client.RegistrationUpdate;
import org.eclipse.leshan.core.node.LwM2mPath;

/** Simulates one device: puts its parts together, and is steered from any thread. */
final class Device {
  private final DeviceContext context;
  private final DeviceExecutor executor;
  private final Radio radio;
  private final DeviceObjects objects;
  private final Notifications notifications;
  private final RequestLog requests;
  private final DeviceEndpoints endpoints;
  private final Sampler sampler;
  private final LifeCycle life;
  private final Registrar registrar;
  private final DataSender sender;

  /** Build a device that is off; IOException when its credentials cannot be read. */
  Device(String endpoint, GroupSpec spec, Engine engine, FleetSettings fleet) throws IOException {
    executor = new DeviceExecutor(engine.protocol);
    context = new DeviceContext(endpoint, spec, fleet, engine, executor);
    Ledger ledger = new Ledger(context);
    radio = new Radio(context);
    objects = new DeviceObjects(context, this::reboot, this::turnOff, this::coap);
    notifications = new Notifications(executor, ledger, this::lostNotification);
    requests = new RequestLog(endpoint, fleet.requests(), ledger, spec.failing());
    endpoints = new DeviceEndpoints(context, radio, notifications, requests);
    life = new LifeCycle(context, radio, objects, notifications, endpoints, requests);
    registrar = life.registrar();
    sender = new DataSender(executor, objects, ledger, radio, registrar.link());
    sampler = new Sampler(context, objects, notifications, radio);
  }

  private void reboot() {
    life.reboot();
  }

  private Endpoint coap() {
    return endpoints.coap();
  }

  private void turnOff() {
    life.turnOff();
  }

  private void lostNotification() {
    life.lostNotification();
  }

  String endpoint() {
    return context.endpoint();
  }

  /** Tell whether it has been tried to register since the device was built. */
  boolean hasTried() {
    return registrar.hasTried();
  }

  /** Return why the last request failed, or null when the server was reached since. */
  String lastFailure() {
    return registrar.lastFailure();
  }

  /** Name the state: stopped, registering, registered, asleep or deregistered. */
  String state() {
    return switch (registrar.state()) {
      case OFF -> "stopped";
      case BOOTSTRAPPING -> "bootstrapping";
      case REGISTERING -> "registering";
      case REGISTERED -> radio.isOn() ? "registered" : "asleep";
      case DEREGISTERED -> "deregistered";
    };
  }

  boolean isRegistered() {
    return registrar.state() == Registrar.State.REGISTERED;
  }

  /** Turn on: open a socket, register, and go on trying. */
  void start() {
    executor.execute(life::turnOn);
  }

  /** Turn off without a word; the socket is closed. */
  void stop() {
    executor.execute(life::turnOff);
  }

  /** Take leave of the server, then turn off. */
  void deregister() {
    executor.execute(life::deregister);
  }

  /** Register anew, turning on if need be. */
  void register() {
    executor.execute(life::register);
  }

  /** Send a registration update now; false when there is no registration to update. */
  boolean update() {
    if (registrar.state() != Registrar.State.REGISTERED) {
      return false;
    }
    registrar.update(new RegistrationUpdate());
    return true;
  }

  /** Notify at another interval; zero: never; null: as fast as ACKs come. */
  void notifyEvery(Duration interval) {
    executor.call(() -> sampler.every(interval));
  }

  /** Answer 5.00 to all requests, or no longer. */
  void fail(boolean failing) {
    executor.call(() -> requests.fail(failing));
  }

  /** Answer requests so much later. */
  void slow(Duration delay) {
    executor.call(() -> endpoints.gate().delay(delay));
  }

  /** Set a resource as the device itself would; IllegalArgumentException when it cannot. */
  void set(LwM2mPath path, String value) {
    executor.call(() -> objects.set(path, value));
  }

  /**
   * Send resources' values unasked; IllegalStateException when the device is not registered.
   *
   * @param timestamps how many values of each, a second apart; 0: one, without a time
   * @return the response code, like "2.04", or a failure
   */
  CompletableFuture<String> send(List<LwM2mPath> paths, int timestamps) {
    return executor.call(
        () -> {
          if (registrar.state() != Registrar.State.REGISTERED) {
            throw new IllegalStateException(endpoint() + " is " + state());
          }
          return sender.send(paths, timestamps);
        });
  }

  /** Describe the device in short. */
  Map<String, Object> summary() {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("ep", endpoint());
    all.put("state", state());
    all.put("registration_id", registrar.registrationId());
    all.put("port", endpoints.port());
    all.put("last_failure", lastFailure());
    return all;
  }

  /** Describe the device with its behaviour, counters and readable values. */
  Map<String, Object> details() {
    return executor.call(
        () -> {
          Map<String, Object> all = summary();
          all.put("sleepy", context.spec().sleepy());
          all.put("failing", requests.isFailing());
          all.put("slow_s", endpoints.gate().delay().toMillis() / 1000.0);
          all.put("open_requests", endpoints.gate().open());
          all.put("observations", endpoints.observations());
          all.put("acknowledged", notifications.acknowledged());
          all.put("values", objects.values());
          return all;
        });
  }
}
