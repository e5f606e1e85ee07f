package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.Metrics;
import io.flownexus.leshan.server.webhook.ItemWriter.Event;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
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
  private final LongAdder notifications;
  private final LongAdder invalid;
  private final LongAdder sends;

  /** Feed a spool. */
  public Uplink(Spool spool, Metrics metrics) {
    this.spool = spool;
    notifications = metrics.counter("notifications_total", "", "Notifications received.");
    invalid = metrics.counter("notifications_invalid_total", "", "Notifications without a value.");
    sends = metrics.counter("sends_total", "", "LwM2M Sends received.");
  }

  /** Keep what a LwM2M Send carries, one composite per timestamp, oldest first. */
  public void sent(Registration registration, TimestampedLwM2mNodes data) {
    sends.increment();
    keep(composites(registration.getEndpoint(), data));
  }

  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    registration(Event.REGISTERED, registration);
  }

  @Override
  public void updated(RegistrationUpdate update, Registration updated, Registration previous) {
    registration(Event.UPDATED, updated);
  }

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration newRegistration) {
    registration(Event.UNREGISTERED, registration);
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    notifications.increment();
    if (failed(observation, registration, response)) {
      return;
    }
    String endpoint = registration.getEndpoint();
    LwM2mPath path = observation.getPath();
    long now = System.currentTimeMillis();
    List<TimestampedLwM2mNode> values = response.getTimestampedLwM2mNodes();
    if (values == null || values.isEmpty()) {
      TimestampedLwM2mNode value = response.getTimestampedLwM2mNode();
      long time = value == null ? now : time(value.getTimestamp(), now);
      keep(List.of(ItemWriter.observed(endpoint, path, response.getContent(), time)));
      return;
    }
    keep(
        values.stream()
            .filter(value -> value.getNode() != null)
            .sorted(Comparator.comparingLong(value -> time(value.getTimestamp(), now)))
            .map(
                value ->
                    ItemWriter.observed(
                        endpoint, path, value.getNode(), time(value.getTimestamp(), now)))
            .toList());
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    notifications.increment();
    if (failed(observation, registration, response)) {
      return;
    }
    TimestampedLwM2mNodes values = response.getTimestampedLwM2mNodes();
    if (values == null || values.isEmpty()) {
      values = TimestampedLwM2mNodes.builder().addNodes(response.getContent()).build();
    }
    keep(composites(registration.getEndpoint(), values));
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {
    invalid.increment();
    LOG.warn(
        "{}: notification of {} cannot be read: {}",
        registration == null ? "unknown device" : registration.getEndpoint(),
        observation,
        error.toString());
  }

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}

  private boolean failed(
      Observation observation, Registration registration, LwM2mResponse response) {
    if (response.isSuccess()) {
      return false;
    }
    invalid.increment();
    LOG.warn(
        "{}: {} ended by the device: {} {}",
        registration.getEndpoint(),
        observation,
        response.getCode(),
        response.getErrorMessage());
    return true;
  }

  private void registration(Event event, Registration registration) {
    long now = System.currentTimeMillis();
    Item item = ItemWriter.registration(event, registration, now);
    Intake.await(spool.append(List.of(item), null)); // it has happened, and cannot be refused
  }

  private void keep(List<Item> items) {
    Intake.await(spool.append(items, Intake.message()));
  }

  private static List<Item> composites(String endpoint, TimestampedLwM2mNodes data) {
    long now = System.currentTimeMillis();
    List<Instant> times = new ArrayList<>(data.getTimestamps());
    times.sort(Comparator.comparingLong(time -> time(time, now)));
    List<Item> items = new ArrayList<>(times.size());
    for (Instant time : times) {
      Map<LwM2mPath, LwM2mNode> nodes = data.getNodesAt(time);
      if (nodes != null && nodes.values().stream().anyMatch(Objects::nonNull)) {
        items.add(ItemWriter.nodes(endpoint, nodes, time(time, now)));
      }
    }
    return items;
  }

  private static long time(Instant time, long now) {
    return time == null ? now : time.toEpochMilli();
  }
}
