package io.flownexus.leshan.server.coap;

import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.eclipse.leshan.transport.californium.ObserveUtil;

/** Knows which peers are registered devices, and where they are now. */
final class Registered {

  private final RegistrationStore registrations;
  private final CounterDataPoint moved;

  Registered(RegistrationStore registrations, CounterDataPoint moved) {
    this.registrations = registrations;
    this.moved = moved;
  }

  /** Return whether a peer is a registered device, or has proved who it is. */
  boolean has(EndpointContext peer) {
    return peer.getPeerIdentity() != null
        || registrations.getRegistrationByAdress(peer.getPeerAddress()) != null;
  }

  /** Return the endpoint name of the device at a peer's address, null where none is registered. */
  String endpoint(EndpointContext peer) {
    Registration registration = registrations.getRegistrationByAdress(peer.getPeerAddress());
    return registration == null ? null : registration.getEndpoint();
  }

  /**
   * Return whether the device that a request observes is registered at a peer's address.
   *
   * <p>One that has proved who it is may be anywhere.
   */
  boolean isAt(EndpointContext peer, Request observe) {
    if (peer.getPeerIdentity() != null) {
      return true;
    }
    String id = observe.getUserContext().get(ObserveUtil.CTX_REGID);
    Registration registration = registrations.getRegistration(id);
    if (registration != null && registration.getSocketAddress().equals(peer.getPeerAddress())) {
      return true;
    }
    moved.inc();
    return false;
  }
}
