package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Describes devices that behave alike.
 *
 * @param interval between two changes of the temperature; zero: never; null: as fast as ACKs come
 * @param awake how long a sleepy device listens after a registration, an update or an answer; null:
 *     never sleeps
 * @param wakes whether a sleepy device wakes to notify, and listens for as long after it
 * @param tells whether a sleepy device says when it registers how long it listens
 * @param slow after how long a request is answered
 * @param update between two registration updates
 * @param ackTimeout until a confirmable message is sent again, the first time; CoAP gives it up
 *     after 31 to 46 times as long (RFC 7252, 4.8)
 * @param renews whether a device registers anew when a notification was sent in vain, as some do;
 *     others forget that observer and stay registered (RFC 7641, 4.5)
 * @param bootstraps whether a device has a key from the factory, and its server is one that hands
 *     out the rest
 * @param objects besides 0 and 1
 * @param firmware what goes wrong with a firmware update
 * @param transfer how firmware comes to a device
 */
record GroupSpec(
    String prefix,
    int start,
    int count,
    Duration interval,
    Duration awake,
    boolean wakes,
    boolean tells,
    Duration slow,
    boolean failing,
    Duration lifetime,
    Duration update,
    Duration ackTimeout,
    boolean renews,
    boolean bootstraps,
    Set<ObjectKind> objects,
    FirmwareFault firmware,
    FirmwareTransfer transfer) {

  /**
   * Parse "prefix=sim-,count=3,notify=2s[,sleepy,...]"; IllegalArgumentException names what is
   * wrong.
   */
  static GroupSpec parse(String text) {
    String prefix = "sim-";
    int start = 1;
    int count = 1;
    Duration interval = Duration.ofSeconds(2);
    boolean sleepy = false;
    Duration awake = Duration.ofSeconds(10);
    boolean wakes = false;
    boolean tells = false;
    Duration slow = Duration.ZERO;
    boolean failing = false;
    Duration lifetime = Duration.ofSeconds(60);
    Duration update = null;
    Duration ackTimeout = Duration.ofSeconds(2);
    boolean renews = false;
    boolean bootstraps = false;
    Set<ObjectKind> objects = ObjectKind.DEFAULT;
    FirmwareFault firmware = FirmwareFault.NONE;
    FirmwareTransfer transfer = FirmwareTransfer.HTTP;
    for (String option : text.split(",")) {
      int equals = option.indexOf('=');
      String name = equals < 0 ? option : option.substring(0, equals);
      String value = equals < 0 ? null : option.substring(equals + 1);
      switch (name) {
        case "prefix" -> prefix = needed(name, value);
        case "start" -> start = Integer.parseInt(needed(name, value));
        case "count" -> count = Integer.parseInt(needed(name, value));
        case "notify" -> interval = interval(needed(name, value));
        case "sleepy" -> sleepy = isOn(value);
        case "awake" -> awake = Durations.parse(needed(name, value));
        case "wakes" -> wakes = isOn(value);
        case "tells" -> tells = isOn(value);
        case "slow" -> slow = Durations.parse(needed(name, value));
        case "failing" -> failing = isOn(value);
        case "lifetime" -> lifetime = Durations.parse(needed(name, value));
        case "update" -> update = Durations.parse(needed(name, value));
        case "ack" -> ackTimeout = Durations.parse(needed(name, value));
        case "renews" -> renews = isOn(value);
        case "bootstrap" -> bootstraps = isOn(value);
        case "objects" -> objects = ObjectKind.parse(needed(name, value));
        case "download" -> transfer = FirmwareTransfer.parse(needed(name, value));
        case "firmware" -> firmware = FirmwareFault.parse(needed(name, value));
        default -> throw new IllegalArgumentException("unknown group option '" + name + "'");
      }
    }
    if (count < 1 || lifetime.toSeconds() < 1) {
      throw new IllegalArgumentException("count and lifetime must be at least 1: " + text);
    }
    if (ackTimeout.toMillis() < 1) {
      throw new IllegalArgumentException("ack must be at least 1ms: " + text);
    }
    if (update == null) {
      update = lifetime.dividedBy(2);
    }
    return new GroupSpec(
        prefix,
        start,
        count,
        interval,
        sleepy ? awake : null,
        wakes,
        tells,
        slow,
        failing,
        lifetime,
        update,
        ackTimeout,
        renews,
        bootstraps,
        objects,
        firmware,
        transfer);
  }

  /** Parse an interval between two changes: a duration, zero for never, or max. */
  static Duration interval(String text) {
    return text.equals("max") ? null : Durations.parse(text);
  }

  /** List the endpoint names: the prefix and four digits. */
  List<String> endpoints() {
    List<String> names = new ArrayList<>(count);
    for (int i = start; i < start + count; i++) {
      names.add(prefix + String.format(Locale.ROOT, "%04d", i));
    }
    return names;
  }

  boolean sleepy() {
    return awake != null;
  }

  private static String needed(String name, String value) {
    if (value == null || value.isEmpty()) {
      throw new IllegalArgumentException("group option '" + name + "' needs a value");
    }
    return value;
  }

  private static boolean isOn(String value) {
    return value == null || value.equals("true");
  }
}
