package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/** Simulates object 3, the device itself. */
final class DeviceObject extends SimulatedObject {
  private static final int FIRMWARE_VERSION = 3;
  private static final int REBOOT = 4;
  private static final int FACTORY_RESET = 5;
  private static final int ERRORS = 11;
  private static final int RESET_ERRORS = 12;
  private static final int TIME = 13;
  private static final int OFFSET = 14;
  private static final int TIMEZONE = 15;

  private final ObjectHost host;
  private Duration clockOffset = Duration.ZERO;

  DeviceObject(ObjectHost host) {
    this.host = host;
    put(0, "Flow Nexus");
    put(1, "Simulator");
    put(2, host.context().endpoint());
    put(FIRMWARE_VERSION, FirmwareObject.FACTORY_VERSION);
    put(6, Map.of(0, 1L, 1, 5L));
    put(7, Map.of(0, 3800L, 1, 5000L));
    put(8, Map.of(0, 125L, 1, 900L));
    put(9, 95L);
    put(10, 15_360L);
    put(ERRORS, Map.of(0, 0L));
    put(TIME, new Date(0));
    put(16, "U");
    put(17, "simulated");
    put(18, "1.0");
    put(19, "1.0");
    put(20, 0L);
    put(21, 65_536L);
    setFactoryDefaults();
  }

  private void setFactoryDefaults() {
    put(OFFSET, "+00:00");
    put(TIMEZONE, "Etc/UTC");
  }

  @Override
  void onInstalled(String version) {
    change(Map.of(FIRMWARE_VERSION, version));
  }

  @Override
  Object value(int resource) {
    if (resource == TIME) {
      return new Date(System.currentTimeMillis() + clockOffset.toMillis());
    }
    return super.value(resource);
  }

  @Override
  public WriteResponse write(
      LwM2mServer server, boolean replace, int resource, LwM2mResource written) {
    if (resource == TIME) {
      Date time = (Date) written.getValue();
      clockOffset = Duration.ofMillis(time.getTime() - System.currentTimeMillis());
    }
    return super.write(server, replace, resource, written);
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    switch (resource) {
      case REBOOT -> host.reboot();
      case FACTORY_RESET -> {
        setFactoryDefaults();
        host.reboot();
      }
      case RESET_ERRORS -> change(Map.of(ERRORS, Map.of(0, 0L)));
      default -> {
        return ExecuteResponse.notFound();
      }
    }
    return ExecuteResponse.success();
  }

  @Override
  List<Integer> executable() {
    return List.of(REBOOT, FACTORY_RESET, RESET_ERRORS);
  }
}
