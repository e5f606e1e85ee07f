package io.flownexus.leshan.simulator;

/**
 * Says whether a device hears and sends datagrams; its connector asks for each one. That of a
 * sleepy device goes off a while after the last contact.
 */
final class Radio {
  private final DeviceContext context;
  private final LatestStep sleep;
  private volatile boolean on;

  Radio(DeviceContext context) {
    this.context = context;
    sleep = new LatestStep(context);
  }

  boolean isOn() {
    return on;
  }

  /** Turn on, to stay on. */
  void on() {
    sleep.cancel();
    on = true;
  }

  void off() {
    sleep.cancel();
    on = false;
  }

  /** Put off a sleep that is due: a server counts a device's time from its last answer, too. */
  void answered() {
    if (on && sleep.isWaiting()) {
      sleepLater();
    }
  }

  /** Let a sleepy device fall asleep once it has been awake for as long as its group says. */
  void sleepLater() {
    if (context.spec().sleepy()) {
      sleep.after(context.spec().awake(), this::off);
    }
  }
}
