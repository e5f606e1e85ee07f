package io.flownexus.leshan.server.coap;

import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.observation.ObservationService;
import org.eclipse.leshan.server.registration.Registration;

/** Forgets an observation that its device ended by an error notification (RFC 7641, 4.2). */
public final class EndedObservations implements ObservationListener {

  private final ObservationService observations;

  /** Forget observations of this service. */
  public EndedObservations(ObservationService observations) {
    this.observations = observations;
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    forget(observation, response);
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    forget(observation, response);
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {}

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}

  private void forget(Observation observation, LwM2mResponse response) {
    if (response.isFailure()) {
      observations.cancelObservation(observation);
    }
  }
}
