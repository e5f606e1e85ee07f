package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.codec.UnreadableException;
import io.flownexus.leshan.server.presence.Contact;
import io.flownexus.leshan.server.webhook.ItemWriter.Event;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Turns what devices send into items of the spool; runs on CoAP threads and never blocks. */
public final class Uplink implements RegistrationListener, ObservationListener {

  private static final Logger LOG = LoggerFactory.getLogger(Uplink.class);

  private final Spool spool;
  private final Uptime uptime;
  private final Duration awake;
  private final Metrics metrics;
  private final ObserveOrder order = new ObserveOrder();
  private final FailureItems failures;

  /**
   * Feed a spool.
   *
   * @param awake how long a device of queue mode listens that does not say so itself
   */
  public Uplink(Spool spool, Uptime uptime, Duration awake, Metrics metrics) {
    this.spool = spool;
    this.uptime = uptime;
    this.awake = awake;
    this.metrics = metrics;
    failures = new FailureItems(metrics);
  }

  /** Keep what a LwM2M Send carries, one composite per timestamp, oldest first. */
  public void sent(Registration registration, SendRequest send) {
    metrics.sends.inc();
    String endpoint = registration.getEndpoint();
    long now = Receipt.millis(send.getCoapRequest());
    List<Item> items = ValueItems.composites(endpoint, send.getTimestampedNodes(), now);
    UnreadableException unreadable = Intake.unreadable();
    if (unreadable != null) {
      items.addAll(failures.of(endpoint, unreadable, "Send"));
    }
    keep(items);
  }

  /** Keep what a LwM2M Send carries of which nothing can be read. */
  public void unreadable(Registration registration, Exception error) {
    keep(failures.of(registration.getEndpoint(), null, error, "Send"));
  }

  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    if (observations != null) { // there is no previous registration
      observations.forEach(this::cancelled);
    }
    registration(Event.REGISTERED, registration);
  }

  @Override
  public void updated(RegistrationUpdate update, Registration updated, Registration previous) {
    registration(update instanceof Contact ? Event.HEARD : Event.UPDATED, updated);
  }

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration newRegistration) {
    observations.forEach(this::cancelled);
    registration(Event.UNREGISTERED, registration);
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    metrics.notifications.inc();
    if (failed(observation, registration, response)) {
      return;
    }
    String endpoint = registration.getEndpoint();
    LwM2mPath path = observation.getPath();
    long now = time(observation, response.getCoapResponse());
    List<TimestampedLwM2mNode> values = response.getTimestampedLwM2mNodes();
    if (values == null || values.isEmpty()) {
      TimestampedLwM2mNode value = response.getTimestampedLwM2mNode();
      long time = value == null ? now : ValueItems.time(value.getTimestamp(), now);
      keep(List.of(ItemWriter.observed(endpoint, path, response.getContent(), time)));
    } else {
      keep(ValueItems.of(endpoint, path, values, now));
    }
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    metrics.notifications.inc();
    if (failed(observation, registration, response)) {
      return;
    }
    TimestampedLwM2mNodes values = response.getTimestampedLwM2mNodes();
    if (values == null || values.isEmpty()) {
      values = TimestampedLwM2mNodes.builder().addNodes(response.getContent()).build();
    }
    keep(
        ValueItems.composites(
            registration.getEndpoint(), values, time(observation, response.getCoapResponse())));
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {
    metrics.invalidNotifications.inc();
    if (registration == null) {
      LOG.warn("unknown device: notification of {} cannot be read: {}", observation, error);
      return;
    }
    String endpoint = registration.getEndpoint();
    LwM2mPath path = observation instanceof SingleObservation single ? single.getPath() : null;
    long now = Receipt.millis(null);
    List<Item> items = new ArrayList<>();
    UnreadableException unreadable = UnreadableException.in(error);
    if (unreadable != null) {
      items.addAll(
          path != null && path.isResource()
              ? ValueItems.singles(endpoint, unreadable.good(), now)
              : ValueItems.composites(endpoint, unreadable.good(), now));
    }
    items.addAll(failures.of(endpoint, path, error, "notification"));
    keep(items);
  }

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {
    order.forget(observation.getId());
  }

  private long time(Observation observation, Object coapResponse) {
    Integer number =
        coapResponse instanceof Response response ? response.getOptions().getObserve() : null;
    return order.time(observation.getId(), number, Receipt.millis(coapResponse));
  }

  private boolean failed(
      Observation observation, Registration registration, LwM2mResponse response) {
    if (response.isSuccess()) {
      return false;
    }
    metrics.invalidNotifications.inc();
    String answer = response.getCode() + " " + Objects.toString(response.getErrorMessage(), "");
    String path =
        observation instanceof SingleObservation single
            ? single.getPath().toString()
            : Objects.toString(((CompositeObservation) observation).getPaths());
    keep(failures.ended(registration.getEndpoint(), path, answer.strip()));
    return true;
  }

  private void registration(Event event, Registration registration) {
    long now = System.currentTimeMillis();
    Item item = ItemWriter.registration(event, registration, now, uptime.since(), awake);
    Intake.await(spool.append(List.of(item), null)); // it has happened, and cannot be refused
  }

  private void keep(List<Item> items) {
    if (items.isEmpty()) {
      return;
    }
    Intake.await(spool.append(items, Intake.message()));
  }
}
