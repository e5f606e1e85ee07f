package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Holds all devices. */
final class Fleet {
  private static final Logger LOG = LoggerFactory.getLogger(Fleet.class);
  private static final Duration STATUS = Duration.ofSeconds(2);

  private final Engine engine;
  private final Map<String, Device> devices = new LinkedHashMap<>();
  private String lastStatus = "";

  /** Build the groups' devices; IllegalArgumentException when two have one name. */
  Fleet(Engine engine, List<GroupSpec> groups, FleetSettings settings) throws IOException {
    this.engine = engine;
    for (GroupSpec group : groups) {
      for (String endpoint : group.endpoints()) {
        if (devices.containsKey(endpoint)) {
          throw new IllegalArgumentException("two devices are called " + endpoint);
        }
        devices.put(endpoint, new Device(endpoint, group, engine, settings));
      }
    }
  }

  /** Turn on so many devices a second, and report now and then how they do. */
  void start(double perSecond) {
    long pause = (long) (1e9 / perSecond);
    long delay = 0;
    for (Device device : devices.values()) {
      engine.timers.schedule(device::start, delay, TimeUnit.NANOSECONDS);
      delay += pause;
    }
    engine.timers.scheduleAtFixedRate(
        this::report, STATUS.toNanos(), STATUS.toNanos(), TimeUnit.NANOSECONDS);
  }

  Optional<Device> find(String endpoint) {
    return Optional.ofNullable(devices.get(endpoint));
  }

  Collection<Device> all() {
    return devices.values();
  }

  /** Let all devices notify at another interval; zero: never; null: as fast as ACKs come. */
  void notifyEvery(Duration interval) {
    devices.values().forEach(device -> device.notifyEvery(interval));
  }

  /** Tell whether each device has sent a registration, answered or not. */
  boolean haveTried() {
    return devices.values().stream().allMatch(Device::hasTried);
  }

  /** Say how many devices are registered, how the others do, and why one of them is not. */
  String status() {
    int registered = 0;
    Map<String, Integer> others = new TreeMap<>();
    List<String> failures = new ArrayList<>();
    for (Device device : devices.values()) {
      if (device.isRegistered()) {
        registered++;
      } else {
        others.merge(device.state(), 1, Integer::sum);
      }
      if (device.lastFailure() != null) {
        failures.add(device.endpoint() + ": " + device.lastFailure());
      }
    }
    StringBuilder status = new StringBuilder();
    status.append(registered).append(" of ").append(devices.size()).append(" devices registered");
    others.forEach((state, count) -> status.append(", ").append(count).append(' ').append(state));
    if (!failures.isEmpty()) {
      status.append("; ").append(failures.get(0));
    }
    if (failures.size() > 1) {
      status.append(", and ").append(failures.size() - 1).append(" more with a failure");
    }
    return status.toString();
  }

  private void report() {
    String status = status();
    if (!status.equals(lastStatus)) {
      LOG.info("{}", status);
      lastStatus = status;
    }
  }
}
