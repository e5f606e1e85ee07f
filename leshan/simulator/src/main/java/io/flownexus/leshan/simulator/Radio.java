package io.flownexus.leshan.simulator;

/** Says whether a device hears and sends datagrams; its connector asks for each one. */
final class Radio {
  private volatile boolean on = true;

  boolean isOn() {
    return on;
  }

  void turn(boolean on) {
    this.on = on;
  }
}
