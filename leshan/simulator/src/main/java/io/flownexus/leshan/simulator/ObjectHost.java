package io.flownexus.leshan.simulator;

import org.eclipse.californium.core.network.Endpoint;

/** Is the device as its objects know it. */
interface ObjectHost {
  DeviceContext context();

  /** Return the device's CoAP endpoint, while it is on. */
  Endpoint coap();

  /** Turn off and on again, soon. */
  void reboot();

  /** Turn off, for good. */
  void turnOff();

  /** Tell all objects of an event, in a word or two. */
  void event(String event);

  /** Tell all objects which firmware has been installed, and reboot. */
  void installed(String version);
}
