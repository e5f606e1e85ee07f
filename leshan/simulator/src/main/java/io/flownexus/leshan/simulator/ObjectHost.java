package io.flownexus.leshan.simulator;

/** Is the device as its objects know it. */
interface ObjectHost {
  DeviceContext context();

  /** Turn off and on again, soon. */
  void reboot();

  /** Tell all objects of an event, in a word or two. */
  void event(String event);

  /** Tell all objects which firmware has been installed, and reboot. */
  void installed(String version);
}
