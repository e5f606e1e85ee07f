package io.flownexus.leshan.simulator;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * Lists the objects that a device can have besides those of its connection, 0 and 1.
 *
 * <p>A further one is a class and a line here; its model is in the jar, as all of OMA's are.
 */
enum ObjectKind {
  DEVICE(3, DeviceObject::new),
  FIRMWARE(5, FirmwareObject::new),
  EVENT_LOG(20, EventLogObject::new),
  TEMPERATURE(3303, TemperatureObject::new),
  HUMIDITY(3304, HumidityObject::new),
  DISPLAY(3341, host -> new DisplayObject());

  /** What a device has whose group does not say. */
  static final Set<ObjectKind> DEFAULT = EnumSet.of(DEVICE, FIRMWARE, EVENT_LOG, TEMPERATURE);

  final int id;
  private final Function<ObjectHost, SimulatedObject> constructor;

  ObjectKind(int id, Function<ObjectHost, SimulatedObject> constructor) {
    this.id = id;
    this.constructor = constructor;
  }

  /** Parse "3+5+3303"; IllegalArgumentException when a device cannot have these. */
  static Set<ObjectKind> parse(String ids) {
    Set<ObjectKind> kinds = EnumSet.noneOf(ObjectKind.class);
    for (String id : ids.split("\\+", -1)) {
      kinds.add(of(id));
    }
    if (!kinds.contains(DEVICE)) {
      throw new IllegalArgumentException("a device needs object 3: " + ids);
    }
    return kinds;
  }

  private static ObjectKind of(String id) {
    return Arrays.stream(values())
        .filter(kind -> String.valueOf(kind.id).equals(id))
        .findFirst()
        .orElseThrow(
            () -> new IllegalArgumentException("no object '" + id + "' (try " + known() + ")"));
  }

  private static String known() {
    return Arrays.stream(values())
        .map(kind -> String.valueOf(kind.id))
        .collect(Collectors.joining("+"));
  }

  /** Make the instance of this object that a device begins with. */
  SimulatedObject create(ObjectHost host) {
    SimulatedObject object = constructor.apply(host);
    object.setModel(host.context().engine().models.getObjectModel(id));
    return object;
  }
}
