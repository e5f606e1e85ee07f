package io.flownexus.leshan.simulator;

/** Simulates object 3304: a relative humidity that drifts. */
final class HumidityObject extends SensorObject {
  private static final int SEED_OFFSET = 3304; // another drift than the temperature's

  HumidityObject(ObjectHost host) {
    super(host.context().seed() + SEED_OFFSET, new Drift(3500, 2500, 0, 9999), 0.0, 100.0, "%RH");
  }
}
