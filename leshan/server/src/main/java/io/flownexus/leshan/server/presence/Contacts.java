package io.flownexus.leshan.server.presence;

import java.net.InetSocketAddress;
import java.util.Collection;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.PresenceServiceImpl;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationServiceImpl;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.registration.UpdatedRegistration;

/**
 * Notices by what devices send that one can be reached again: it slept, did not answer, or has
 * another address.
 *
 * <p>That is told once, as a {@link Contact}, to all who listen to registrations. What a device
 * sends while it is awake tells nothing new.
 */
public final class Contacts implements ObservationListener, RegistrationListener {

  private final AwakeTimes awakeTimes;
  private final boolean followsAddress;
  private final Set<String> unanswering = ConcurrentHashMap.newKeySet();
  private volatile RegistrationServiceImpl registrations;
  private volatile PresenceServiceImpl presence;

  /**
   * Begin with nobody awake.
   *
   * @param followsAddress whether what a device sends over DTLS from another address moves its
   *     registration there
   */
  public Contacts(AwakeTimes awakeTimes, boolean followsAddress) {
    this.awakeTimes = awakeTimes;
    this.followsAddress = followsAddress;
  }

  /** Follow the devices of this server from now on. */
  public void attach(LeshanServer server) {
    attach(
        (RegistrationServiceImpl) server.getRegistrationService(),
        (PresenceServiceImpl) server.getPresenceService());
    server.getObservationService().addListener(this);
  }

  void attach(RegistrationServiceImpl registered, PresenceServiceImpl present) {
    registrations = registered;
    presence = present;
    awakeTimes.attach(presence);
    registrations.addListener(this);
  }

  /** Note that a device without queue mode, which always listens, did not answer a request. */
  public void unanswered(Registration registration) {
    if (!registration.usesQueueMode()) {
      unanswering.add(registration.getEndpoint());
    }
  }

  /**
   * Note a message of a registered device.
   *
   * @param from where it came from; null when that is not known
   */
  public void heard(Registration registration, InetSocketAddress from) {
    if (movedTo(registration, from) || !isReachable(registration)) {
      heardAgain(registration.getId(), from);
    }
  }

  // Of two messages that a device sends at once, the first one tells.
  private synchronized void heardAgain(String registrationId, InetSocketAddress from) {
    Registration registration = registrations.getById(registrationId);
    if (registration == null) {
      return;
    }
    boolean moved = movedTo(registration, from);
    if (!moved && isReachable(registration)) {
      return;
    }
    if (moved) {
      IpPeer peer = (IpPeer) registration.getClientTransportData();
      Contact contact =
          new Contact(
              registration, new IpPeer(from, peer.getVirtualHost(), peer.getIdentity()), true);
      UpdatedRegistration updated = registrations.getStore().updateRegistration(contact);
      if (updated != null) {
        registrations.fireUpdated(
            contact, updated.getUpdatedRegistration(), updated.getPreviousRegistration());
      }
    } else {
      Contact contact = new Contact(registration, registration.getClientTransportData(), false);
      registrations.fireUpdated(contact, registration, registration);
    }
  }

  // Whoever comes over plain CoAP has not proved who it is: its address is that of its last update.
  private boolean movedTo(Registration registration, InetSocketAddress from) {
    return followsAddress
        && from != null
        && registration.getClientTransportData() instanceof IpPeer peer
        && peer.getIdentity().isSecure()
        && !peer.getSocketAddress().equals(from);
  }

  private boolean isReachable(Registration registration) {
    return registration.usesQueueMode()
        ? presence.isClientAwake(registration) && awakeTimes.heard(registration)
        : !unanswering.contains(registration.getEndpoint());
  }

  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    unanswering.remove(registration.getEndpoint());
  }

  @Override
  public void updated(RegistrationUpdate update, Registration updated, Registration previous) {
    unanswering.remove(updated.getEndpoint());
  }

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration newRegistration) {
    unanswering.remove(registration.getEndpoint());
    awakeTimes.forget(registration);
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    heard(registration, source(response.getCoapResponse()));
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    heard(registration, source(response.getCoapResponse()));
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {
    if (registration != null) {
      heard(registration, null);
    }
  }

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}

  private static InetSocketAddress source(Object coapResponse) {
    return coapResponse instanceof Response response
        ? response.getSourceContext().getPeerAddress()
        : null;
  }
}
