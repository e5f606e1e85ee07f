package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs a fleet with its files and its control port. */
final class Simulator implements AutoCloseable {
  private final Engine engine;
  private final List<JsonLines> files;
  private final Fleet fleet;
  private final Control control;

  /** Build the devices and open the control port (none if null); the devices are off yet. */
  Simulator(Engine engine, List<GroupSpec> groups, FleetSettings settings, Integer controlPort)
      throws IOException {
    this.engine = engine;
    files = List.of(settings.ledger(), settings.unacknowledged(), settings.requests());
    fleet = new Fleet(engine, groups, settings);
    control = controlPort == null ? null : new Control(fleet, controlPort);
    engine.timers.scheduleWithFixedDelay(this::flush, 500, 500, TimeUnit.MILLISECONDS);
  }

  Fleet fleet() {
    return fleet;
  }

  /** Return the control port, or null. */
  Integer controlPort() {
    return control == null ? null : control.port();
  }

  private void flush() {
    files.forEach(JsonLines::flush);
  }

  /** Write out the files first: that must happen however little time is left. */
  @Override
  public void close() throws IOException {
    for (JsonLines file : files) {
      file.close();
    }
    if (control != null) {
      control.close();
    }
    engine.close();
  }
}
