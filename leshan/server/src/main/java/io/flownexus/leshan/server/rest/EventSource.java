package io.flownexus.leshan.server.rest;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.json.Json;
import io.flownexus.leshan.server.json.NodeWriter;
import io.flownexus.leshan.server.json.RegistrationWriter;
import io.flownexus.leshan.server.presence.Contact;
import java.io.IOException;
import java.util.Collection;
import java.util.Set;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.PresenceListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.send.SendListener;

/** Tells event streams what happens, in the events of Leshan's demo server. */
final class EventSource
    implements RegistrationListener, PresenceListener, ObservationListener, SendListener {

  private final LeshanServer server;
  private final Set<EventStream> streams;

  EventSource(LeshanServer server, Set<EventStream> streams) {
    this.server = server;
    this.streams = streams;
  }

  @Override
  public void registered(
      Registration registration, Registration previous, Collection<Observation> observations) {
    tell("REGISTRATION", registration, out -> write(out, registration));
  }

  @Override
  public void updated(RegistrationUpdate update, Registration updated, Registration previous) {
    if (update instanceof Contact contact && !contact.moved()) {
      return; // AWAKE tells of it
    }
    tell(
        "UPDATED",
        updated,
        out -> {
          out.writeStartObject();
          out.writeFieldName("registration");
          write(out, updated);
          out.writeObjectFieldStart("update");
          out.writeStringField("registrationId", update.getRegistrationId());
          if (update.getLifeTimeInSec() != null) {
            out.writeNumberField("lifetime", update.getLifeTimeInSec());
          }
          if (update.getObjectLinks() != null) {
            out.writeFieldName("objectLinks");
            RegistrationWriter.writeLinks(out, update.getObjectLinks());
          }
          out.writeEndObject();
          out.writeEndObject();
        });
  }

  @Override
  public void unregistered(
      Registration registration,
      Collection<Observation> observations,
      boolean expired,
      Registration newRegistration) {
    tell("DEREGISTRATION", registration, out -> write(out, registration));
  }

  @Override
  public void onSleeping(Registration registration) {
    tell("SLEEPING", registration, out -> writeEndpoint(out, registration));
  }

  @Override
  public void onAwake(Registration registration) {
    tell("AWAKE", registration, out -> writeEndpoint(out, registration));
  }

  @Override
  public void onResponse(
      SingleObservation observation, Registration registration, ObserveResponse response) {
    if (response.getContent() == null) {
      return;
    }
    tell(
        "NOTIFICATION",
        registration,
        out -> {
          out.writeStartObject();
          out.writeStringField("ep", registration.getEndpoint());
          out.writeStringField("kind", "single");
          out.writeStringField("res", observation.getPath().toString());
          out.writeFieldName("val");
          NodeWriter.write(out, response.getContent());
          out.writeEndObject();
        });
  }

  @Override
  public void onResponse(
      CompositeObservation observation,
      Registration registration,
      ObserveCompositeResponse response) {
    if (response.getContent() == null) {
      return;
    }
    tell(
        "NOTIFICATION",
        registration,
        out -> {
          out.writeStartObject();
          out.writeStringField("ep", registration.getEndpoint());
          out.writeStringField("kind", "composite");
          out.writeFieldName("val");
          NodeWriter.write(out, response.getContent());
          out.writeArrayFieldStart("paths");
          for (LwM2mPath path : observation.getPaths()) {
            out.writeString(path.toString());
          }
          out.writeEndArray();
          out.writeEndObject();
        });
  }

  @Override
  public void dataReceived(
      Registration registration, TimestampedLwM2mNodes data, SendRequest request) {
    tell(
        "SEND",
        registration,
        out -> {
          out.writeStartObject();
          out.writeStringField("ep", registration.getEndpoint());
          out.writeFieldName("val");
          NodeWriter.write(out, data.getMostRecentNodes());
          out.writeEndObject();
        });
  }

  @Override
  public void newObservation(Observation observation, Registration registration) {}

  @Override
  public void cancelled(Observation observation) {}

  @Override
  public void onError(Observation observation, Registration registration, Exception error) {}

  @Override
  public void onError(Registration registration, String errorMessage, Exception error) {}

  private void write(JsonGenerator out, Registration registration) throws IOException {
    Boolean sleeping =
        registration.usesQueueMode()
            ? !server.getPresenceService().isClientAwake(registration)
            : null;
    RegistrationWriter.write(out, registration, sleeping);
  }

  private static void writeEndpoint(JsonGenerator out, Registration registration)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("ep", registration.getEndpoint());
    out.writeEndObject();
  }

  // Nobody listening costs nothing: JSON is made for the first stream that wants it.
  private void tell(String event, Registration registration, Json.Content content) {
    byte[] json = null;
    for (EventStream stream : streams) {
      if (stream.wants(registration.getEndpoint())) {
        if (json == null) {
          json = Json.bytes(content);
        }
        stream.event(event, json);
      }
    }
  }
}
