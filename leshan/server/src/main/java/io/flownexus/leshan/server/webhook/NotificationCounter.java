package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;

/** Counts notifications and does no more: the ceiling that a benchmark compares with. */
public final class NotificationCounter implements ObservationListener {

  private final LongAdder notifications;

  /** Count into the metric that a server with webhooks counts into. */
  public NotificationCounter(Metrics metrics) {
    notifications = metrics.counter("notifications_total", "", "Notifications received.");
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    notifications.increment();
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    notifications.increment();
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {}

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}
}
