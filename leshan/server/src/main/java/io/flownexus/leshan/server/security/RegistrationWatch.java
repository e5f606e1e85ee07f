package io.flownexus.leshan.server.security;

import java.util.Collection;
import java.util.Iterator;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.server.registration.Deregistration;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationServiceImpl;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Remembers who registered, and ends registrations that the policy does not allow any more.
 *
 * <p>Nothing is sent to the device of a registration that has ended: what is queued for its
 * endpoint waits for the one that may have the name.
 */
public final class RegistrationWatch implements RegistrationListener {

  private static final Logger LOG = LoggerFactory.getLogger(RegistrationWatch.class);

  private final RegistrationServiceImpl registrations;
  private final DevicePolicy policy;
  private final KnownEndpoints known;

  /** Watch the registrations of a service, and judge those that an earlier life has left. */
  public RegistrationWatch(
      RegistrationServiceImpl registrations, DevicePolicy policy, KnownEndpoints known) {
    this.registrations = registrations;
    this.policy = policy;
    this.known = known;
    Iterator<Registration> all = registrations.getAllRegistrations();
    while (all.hasNext()) {
      registered(all.next(), null, null);
    }
    registrations.addListener(this);
  }

  /** Judge all registrations, after a rule for all has changed. */
  public void reviewAll() {
    registrations.getAllRegistrations().forEachRemaining(this::review);
  }

  /** Judge an endpoint's registration, after its security entry has changed. */
  public void review(String endpoint) {
    Registration registration = registrations.getByEndpoint(endpoint);
    if (registration != null) {
      review(registration);
    }
  }

  // Judged once more: its security entry may have changed since it was let in.
  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    known.registered(registration.getEndpoint(), isSecure(registration));
    review(registration);
  }

  @Override
  public void updated(RegistrationUpdate update, Registration updated, Registration previous) {}

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration newRegistration) {}

  private void review(Registration registration) {
    RefusalCause cause =
        policy.refusal(registration.getEndpoint(), registration.getClientTransportData());
    if (cause == null) {
      return;
    }
    Deregistration ended = registrations.getStore().removeRegistration(registration.getId());
    if (ended != null) {
      LOG.atWarn()
          .addKeyValue("endpoint", registration.getEndpoint())
          .log("registration ended: {}", cause.reason());
      registrations.fireUnregistered(ended.getRegistration(), ended.getObservations(), null);
    }
  }

  private static boolean isSecure(Registration registration) {
    return registration.getClientTransportData().getIdentity().isSecure();
  }
}
