package io.flownexus.leshan.simulator;

import java.time.Duration;

/**
 * Holds what all parts of a device share.
 *
 * @param executor what all that touches the device's state runs on
 */
record DeviceContext(
    String endpoint, GroupSpec spec, FleetSettings fleet, Engine engine, DeviceExecutor executor) {

  /** Run a task of the device after a delay. */
  void after(Duration delay, Runnable task) {
    engine.after(delay, () -> executor.execute(task));
  }

  /** Return what the drift of the device's values depends on. */
  long seed() {
    return fleet.seed() * 31 + endpoint.hashCode();
  }
}
