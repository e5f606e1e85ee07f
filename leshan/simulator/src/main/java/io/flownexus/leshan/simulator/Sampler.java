package io.flownexus.leshan.simulator;

import java.time.Duration;

/**
 * Lets a device's values change at an interval, each change only when the one before has been
 * acknowledged.
 */
final class Sampler {
  private static final Duration RESTART_INTERVAL = Duration.ofSeconds(1);

  private final DeviceContext context;
  private final DeviceObjects objects;
  private final Notifications notifications;
  private final Radio radio;
  private final Runnable tick;
  private Duration interval;
  private boolean putOff;

  /** Begin at the interval of the device's group. */
  Sampler(DeviceContext context, DeviceObjects objects, Notifications notifications, Radio radio) {
    this.context = context;
    this.objects = objects;
    this.notifications = notifications;
    this.radio = radio;
    Runnable sample = this::sample;
    tick = () -> context.executor().dispatch(sample);
    notifications.whenIdle(this::catchUp);
    interval = context.spec().interval();
    schedule();
  }

  /** Change at another interval; zero: never; null: as fast as ACKs come. */
  void every(Duration changed) {
    if (!ticks().isZero()) {
      context.engine().noLonger(ticks(), tick);
    }
    interval = changed;
    putOff = false;
    schedule();
  }

  private void schedule() {
    if (!ticks().isZero()) {
      context.engine().every(ticks(), tick);
    }
  }

  /** A device at full speed that has nothing under way must be set going. */
  private Duration ticks() {
    return interval == null ? RESTART_INTERVAL : interval;
  }

  private void sample() {
    if (!radio.isOn()) {
      if (!context.spec().wakes()) {
        return;
      }
      radio.on();
    }
    if (notifications.areUnderWay()) {
      putOff = true;
      return;
    }
    objects.drift();
    if (!notifications.areUnderWay()) {
      listenOn(); // nobody observes
    }
  }

  /** A sleepy device that woke to notify listens for a while after the acknowledgement. */
  private void listenOn() {
    if (context.spec().wakes()) {
      radio.sleepLater();
    }
  }

  private void catchUp() {
    listenOn();
    if (putOff || interval == null) {
      putOff = false;
      sample();
    }
  }
}
