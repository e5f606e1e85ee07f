package io.flownexus.leshan.server.coap;

import java.net.InetSocketAddress;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationStore;
import org.eclipse.leshan.transport.californium.ObserveUtil;

/** Knows which peers are registered devices, and where they are now. */
final class Registered {

  private final RegistrationStore registrations;

  Registered(RegistrationStore registrations) {
    this.registrations = registrations;
  }

  /** Return whether a peer is a registered device, or has proved who it is. */
  boolean has(EndpointContext peer) {
    return peer.getPeerIdentity() != null
        || registrations.getRegistrationByAdress(peer.getPeerAddress()) != null;
  }

  /** Return whether the device that a request observes is registered at this address. */
  boolean isAt(InetSocketAddress address, Request observe) {
    String id = observe.getUserContext().get(ObserveUtil.CTX_REGID);
    Registration registration = registrations.getRegistration(id);
    return registration != null && registration.getSocketAddress().equals(address);
  }
}
