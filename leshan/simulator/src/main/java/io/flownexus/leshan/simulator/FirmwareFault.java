package io.flownexus.leshan.simulator;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** Lists what may go wrong with a firmware update on a simulated device. */
enum FirmwareFault {
  /** Nothing does. */
  NONE,
  /** The connection is lost at half of the first download (result 4). */
  LOSES,
  /** The same, but the download goes on where it was. */
  RESUMES,
  /** The device reboots at half of the first download, and knows nothing of it any more. */
  REBOOTS_DOWNLOADING,
  /** The device reboots before it has installed, the first time, and has the package still. */
  REBOOTS_INSTALLING,
  /** The device is back with its old version, and tells no result, as after a boot that failed. */
  ROLLS_BACK,
  /** The device is back with its new version, and tells no result, as Zephyr's client does. */
  FORGETS,
  /** The device is turned off when it is to install. */
  NEVER_RETURNS,
  /** The device defers the install, the first time (result 11), and does it later. */
  DEFERS,
  /** The device asks for another path than the one it was given. */
  MISREADS,
  /** The device tells no protocols, and takes none (result 9). */
  NO_PROTOCOL;

  private String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Parse "rolls-back"; IllegalArgumentException names those that there are. */
  static FirmwareFault parse(String text) {
    return Arrays.stream(values())
        .filter(fault -> fault.label().equals(text))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "no firmware fault '"
                        + text
                        + "' (try "
                        + Arrays.stream(values())
                            .map(FirmwareFault::label)
                            .collect(Collectors.joining(", "))
                        + ")"));
  }

  /** Tell whether a download is cut at half. */
  boolean cutsDownload() {
    return this == LOSES || this == RESUMES || this == REBOOTS_DOWNLOADING;
  }

  /** Tell whether it happens once, to a device that then works. */
  boolean passes() {
    return cutsDownload() || this == REBOOTS_INSTALLING || this == DEFERS;
  }
}
