package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.time.Duration;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.engine.RegistrationEngineFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Turns a device on and off, and lets its other parts follow its registration. */
final class LifeCycle implements Registrar.Listener {
  private static final Logger LOG = LoggerFactory.getLogger(LifeCycle.class);
  private static final Duration REBOOT_TIME = Duration.ofSeconds(1);
  private static final Duration START_AGAIN_AFTER = Duration.ofSeconds(5);

  private final DeviceContext context;
  private final Radio radio;
  private final DeviceObjects objects;
  private final Notifications notifications;
  private final DeviceEndpoints endpoints;
  private final LeshanClient client;
  private Registrar registrar;
  private boolean on;

  /** Build a client that is off; IOException when its credentials cannot be read. */
  LifeCycle(
      DeviceContext context,
      Radio radio,
      DeviceObjects objects,
      Notifications notifications,
      DeviceEndpoints endpoints,
      RequestLog requests)
      throws IOException {
    this.context = context;
    this.radio = radio;
    this.objects = objects;
    this.notifications = notifications;
    this.endpoints = endpoints;
    ServerObject server = new ServerObject(context.spec().lifetime(), this::disable);
    client = DeviceClient.build(context, server, objects, endpoints, requests, registration());
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
              context,
              new ServerLink(context, manager, sender, tree, formats, endpoints::isShakingHands),
              bootstrap,
              this);
      return new RegistrationAdapter(context.endpoint(), registrar);
    };
  }

  Registrar registrar() {
    return registrar;
  }

  /** Turn on: open a socket, register, and go on trying. */
  void turnOn() {
    if (on) {
      return;
    }
    on = true;
    radio.on();
    try {
      client.start();
    } catch (RuntimeException e) {
      LOG.error("{} cannot start: {}", context.endpoint(), e.getMessage());
      on = false;
      context.after(START_AGAIN_AFTER, this::turnOn);
      return;
    }
    objects.event("started");
  }

  /** Turn off without a word; the socket is closed. */
  void turnOff() {
    if (!on) {
      return;
    }
    on = false;
    notifications.reset("the device was turned off");
    client.stop(false);
    endpoints.forgetObservations();
    radio.off();
  }

  /** Turn off and on again, soon. */
  void reboot() {
    objects.event("reboot");
    context.after(
        REBOOT_TIME,
        () -> {
          if (on) {
            turnOff();
            turnOn();
          }
        });
  }

  /** Take leave of the server soon, for so long. */
  private void disable(Duration time) {
    objects.event("disabled");
    context.after(REBOOT_TIME, this::deregister);
    context.after(REBOOT_TIME.plus(time), this::turnOn);
  }

  /** Register anew, turning on if need be. */
  void register() {
    if (on) {
      registrar.register();
    } else {
      turnOn();
    }
  }

  /** Take leave of the server, then turn off. */
  void deregister() {
    registrar.deregister(
        () -> {
          turnOff();
          registrar.left();
        });
  }

  /** CoAP has forgotten the observers by now, which is all that most devices do. */
  void lostNotification() {
    if (context.spec().renews()) {
      registrar.renew(radio.isOn());
    }
  }

  @Override
  public void registering() {
    notifications.reset("the device registered anew");
    endpoints.forgetObservations();
  }

  @Override
  public void sending() {
    radio.on();
  }

  @Override
  public void reached() {
    radio.sleepLater();
  }
}
