package io.flownexus.leshan.server.json;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.codec.AnswerHistory;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.response.CancelCompositeObservationResponse;
import org.eclipse.leshan.core.response.CancelObservationResponse;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadCompositeResponse;
import org.eclipse.leshan.core.response.ReadResponse;

/** Writes what a device answered in the JSON of Leshan's demo server. */
public final class ResponseWriter {

  private static final Instant EARLIEST = Instant.ofEpochMilli(Long.MIN_VALUE);
  private static final Instant LATEST = Instant.ofEpochMilli(Long.MAX_VALUE);

  private ResponseWriter() {}

  /**
   * Write one answer of a device, an error too.
   *
   * <p>Beyond what the demo tells: the time of its receipt in epoch milliseconds; as {@code
   * timestamp} that of the values, where the device says it (RFC 8428, 4.5.3); as {@code history}
   * what the answer has of older times, oldest first; and of an observe that succeeded, whether the
   * device notifies from now on, or only answered the value.
   */
  public static void write(
      JsonGenerator out, LwM2mResponse response, long time, List<AnswerHistory.Entry> older)
      throws IOException {
    out.writeStartObject();
    out.writeNumberField("time", time);
    writeTimestamp(out, timestamp(response));
    out.writeStringField("status", response.getCode().toString());
    out.writeBooleanField("valid", response.isValid());
    out.writeBooleanField("success", response.isSuccess());
    out.writeBooleanField("failure", response.isFailure());
    if (response.isSuccess() && response instanceof ObserveResponse observe) {
      writeObserved(out, response, observe.getObservation());
    } else if (response.isSuccess() && response instanceof ObserveCompositeResponse observe) {
      writeObserved(out, response, observe.getObservation());
    }
    if (response instanceof ReadResponse read && read.getContent() != null) {
      out.writeFieldName("content");
      NodeWriter.write(out, read.getContent());
    } else if (response instanceof ReadCompositeResponse read && read.getContent() != null) {
      out.writeFieldName("content");
      NodeWriter.write(out, read.getContent());
    } else if (response instanceof DiscoverResponse discover && discover.getObjectLinks() != null) {
      out.writeFieldName("objectLinks");
      RegistrationWriter.writeLinks(out, discover.getObjectLinks());
    } else if (response instanceof CreateResponse create && create.getLocation() != null) {
      out.writeStringField("location", create.getLocation());
    }
    if (!older.isEmpty()) {
      writeHistory(out, older);
    }
    String message = response.getErrorMessage();
    if (response.isFailure() && message != null && !message.isEmpty()) {
      out.writeStringField("errormessage", message);
    }
    out.writeEndObject();
  }

  private static void writeHistory(JsonGenerator out, List<AnswerHistory.Entry> older)
      throws IOException {
    out.writeArrayFieldStart("history");
    for (AnswerHistory.Entry entry : older) {
      out.writeStartObject();
      writeTimestamp(out, entry.time());
      out.writeFieldName("content");
      if (entry.node() != null) {
        NodeWriter.write(out, entry.node());
      } else {
        NodeWriter.write(out, entry.nodes());
      }
      out.writeEndObject();
    }
    out.writeEndArray();
  }

  // Left out where the device says none, or one that milliseconds of 64 bits do not reach.
  private static void writeTimestamp(JsonGenerator out, Instant time) throws IOException {
    if (time != null && !time.isBefore(EARLIEST) && !time.isAfter(LATEST)) {
      out.writeNumberField("timestamp", time.toEpochMilli());
    }
  }

  private static Instant timestamp(LwM2mResponse response) {
    if (response instanceof ReadResponse read && read.getTimestampedLwM2mNode() != null) {
      return read.getTimestampedLwM2mNode().getTimestamp();
    }
    if (response instanceof ReadCompositeResponse read && read.getTimestampedLwM2mNode() != null) {
      Set<Instant> times = read.getTimestampedLwM2mNode().getTimestamps();
      return times.size() == 1 ? times.iterator().next() : null;
    }
    return null;
  }

  // The answers to cancelling are of subclasses.
  private static void writeObserved(
      JsonGenerator out, LwM2mResponse response, Observation observation) throws IOException {
    if (!(response instanceof CancelObservationResponse)
        && !(response instanceof CancelCompositeObservationResponse)) {
      out.writeBooleanField("observed", observation != null);
    }
  }
}
