package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.codec.Rejected;
import io.flownexus.leshan.server.codec.UnreadableException;
import io.flownexus.leshan.server.webhook.FailureLimit.Reason;
import io.flownexus.leshan.server.webhook.ItemWriter.Event;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.node.LwM2mNode;
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

  private static final int LOGGED_BYTES = 32;

  private final Spool spool;
  private final Uptime uptime;
  private final LongAdder notifications;
  private final ObserveOrder order = new ObserveOrder();
  private final FailureLimit limit = new FailureLimit();
  private final LongAdder invalid;
  private final LongAdder dropped;
  private final LongAdder sends;

  /** Feed a spool. */
  public Uplink(Spool spool, Uptime uptime, Metrics metrics) {
    this.spool = spool;
    this.uptime = uptime;
    notifications = metrics.counter("notifications_total", "", "Notifications received.");
    invalid = metrics.counter("notifications_invalid_total", "", "Notifications without a value.");
    dropped =
        metrics.counter(
            "failures_suppressed_total", "", "Left out: one of more than ten a minute.");
    sends = metrics.counter("sends_total", "", "LwM2M Sends received.");
  }

  /** Keep what a LwM2M Send carries, one composite per timestamp, oldest first. */
  public void sent(Registration registration, SendRequest send) {
    sends.increment();
    String endpoint = registration.getEndpoint();
    long now = Receipt.millis(send.getCoapRequest());
    List<Item> items = composites(endpoint, send.getTimestampedNodes(), now);
    UnreadableException unreadable = Intake.unreadable();
    if (unreadable != null) {
      items.addAll(failures(endpoint, unreadable, "Send"));
    }
    keep(items);
  }

  /** Keep what a LwM2M Send carries of which nothing can be read. */
  public void unreadable(Registration registration, Exception error) {
    keep(failures(registration.getEndpoint(), null, error, "Send"));
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
    registration(Event.UPDATED, updated);
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
    notifications.increment();
    if (failed(observation, registration, response)) {
      return;
    }
    String endpoint = registration.getEndpoint();
    LwM2mPath path = observation.getPath();
    long now = time(observation, response.getCoapResponse());
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
    keep(
        composites(
            registration.getEndpoint(), values, time(observation, response.getCoapResponse())));
  }

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {
    invalid.increment();
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
              ? singles(endpoint, unreadable.good(), now)
              : composites(endpoint, unreadable.good(), now));
    }
    items.addAll(failures(endpoint, path, error, "notification"));
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
    invalid.increment();
    String answer = response.getCode() + " " + Objects.toString(response.getErrorMessage(), "");
    String path =
        observation instanceof SingleObservation single
            ? single.getPath().toString()
            : Objects.toString(((CompositeObservation) observation).getPaths());
    keep(
        failures(
            registration.getEndpoint(),
            Reason.ENDED,
            List.of(new Rejected(path, answer.strip(), new byte[0])),
            null,
            "notification"));
    return true;
  }

  private List<Item> failures(String endpoint, LwM2mPath path, Exception error, String what) {
    UnreadableException unreadable = UnreadableException.in(error);
    if (unreadable != null) {
      return failures(endpoint, unreadable, what);
    }
    String known = path == null ? null : path.toString();
    Rejected rejected = new Rejected(known, String.valueOf(error.getMessage()), new byte[0]);
    return failures(endpoint, Reason.UNREADABLE, List.of(rejected), null, what);
  }

  private List<Item> failures(String endpoint, UnreadableException unreadable, String what) {
    return failures(endpoint, Reason.UNREADABLE, unreadable.rejected(), unreadable.format(), what);
  }

  private List<Item> failures(
      String endpoint, Reason reason, List<Rejected> rejected, Integer format, String what) {
    long now = System.currentTimeMillis();
    List<Item> items = new ArrayList<>();
    for (Rejected one : rejected) {
      long suppressed = limit.admit(endpoint, reason, now);
      if (suppressed < 0) {
        dropped.increment();
        continue;
      }
      String text = reason.text() + ": " + one.reason();
      LOG.warn(
          "{}: {} of {}, {} (format {}, {} bytes: {}{})",
          endpoint,
          what,
          one.path() == null ? "an unknown path" : one.path(),
          text,
          format,
          one.payload().length,
          HexFormat.of().formatHex(one.payload(), 0, Math.min(one.payload().length, LOGGED_BYTES)),
          suppressed == 0 ? "" : "; " + suppressed + " more since the last one told");
      items.add(
          ItemWriter.failure(
              endpoint, new Failure(one.path(), text, format, one.payload(), suppressed), now));
    }
    return items;
  }

  private void registration(Event event, Registration registration) {
    long now = System.currentTimeMillis();
    Item item = ItemWriter.registration(event, registration, now, uptime.since());
    Intake.await(spool.append(List.of(item), null)); // it has happened, and cannot be refused
  }

  private void keep(List<Item> items) {
    if (items.isEmpty()) {
      return;
    }
    Intake.await(spool.append(items, Intake.message()));
  }

  private static List<Item> singles(String endpoint, TimestampedLwM2mNodes data, long now) {
    List<Instant> times = new ArrayList<>(data.getTimestamps());
    times.sort(Comparator.comparingLong(time -> time(time, now)));
    List<Item> items = new ArrayList<>();
    for (Instant time : times) {
      data.getNodesAt(time)
          .forEach(
              (path, node) ->
                  items.add(ItemWriter.observed(endpoint, path, node, time(time, now))));
    }
    return items;
  }

  private static List<Item> composites(String endpoint, TimestampedLwM2mNodes data, long now) {
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
    if (time == null) {
      return now;
    }
    try {
      return time.toEpochMilli();
    } catch (ArithmeticException e) { // beyond 64 bits: as far as they go
      return time.getEpochSecond() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
    }
  }
}
