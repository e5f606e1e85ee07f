package io.flownexus.leshan.simulator;

/** Says how a firmware package comes to a device. */
enum FirmwareTransfer {
  HTTP,
  COAP,
  /** By a write to /5/0/0, and in no other way. */
  PUSH;

  /** Parse "http", "coap" or "push". */
  static FirmwareTransfer parse(String text) {
    return switch (text) {
      case "http" -> HTTP;
      case "coap" -> COAP;
      case "push" -> PUSH;
      default ->
          throw new IllegalArgumentException("download is http, coap or push, not '" + text + "'");
    };
  }
}
