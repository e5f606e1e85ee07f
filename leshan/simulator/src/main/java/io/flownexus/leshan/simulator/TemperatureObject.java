package io.flownexus.leshan.simulator;

/** Simulates object 3303: a temperature that drifts. */
final class TemperatureObject extends SensorObject {
  TemperatureObject(ObjectHost host) {
    super(host.context().seed(), new Drift(1800, 800, -2000, 6000), -40.0, 85.0, "Cel");
  }
}
