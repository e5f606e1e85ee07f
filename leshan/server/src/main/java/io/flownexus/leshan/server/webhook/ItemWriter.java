package io.flownexus.leshan.server.webhook;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.json.Json;
import io.flownexus.leshan.server.json.NodeWriter;
import io.flownexus.leshan.server.json.RegistrationWriter;
import io.flownexus.leshan.server.presence.AwakeTimes;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Map;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.server.registration.Registration;

/** Makes the items that the webhooks carry; every time is in epoch milliseconds. */
final class ItemWriter {

  /** This system's own object: a device's registrations. */
  private static final int REGISTRATION_OBJECT = 10240;

  private static final int MAX_PATH = 255;
  private static final int MAX_REASON = 500;
  private static final int MAX_PAYLOAD = 1024; // bytes that are shown of one

  /** What happened to a registration, and the resource of object 10240 that tells it. */
  enum Event {
    REGISTERED(0),
    UNREGISTERED(1),
    UPDATED(2),
    HEARD(3);

    private final int resource;

    Event(int resource) {
      this.resource = resource;
    }
  }

  private ItemWriter() {}

  /** Make the item for a node at a path: single for a resource, composite for all else. */
  static Item observed(String endpoint, LwM2mPath path, LwM2mNode node, long time) {
    if (node instanceof LwM2mResource) {
      return item(
          WebhookKind.SINGLE,
          endpoint,
          time,
          out -> {
            out.writeNumberField("obj_id", path.getObjectId());
            out.writeNumberField("inst_id", path.getObjectInstanceId());
            out.writeFieldName("val");
            NodeWriter.write(out, node);
          });
    }
    if (node instanceof LwM2mObject) {
      return item(
          WebhookKind.COMPOSITE,
          endpoint,
          time,
          out -> {
            out.writeFieldName("val");
            NodeWriter.write(out, node);
          });
    }
    return nodes(endpoint, Map.of(path, node), time);
  }

  /** Make one composite of nodes that share a time. */
  static Item nodes(String endpoint, Map<LwM2mPath, ? extends LwM2mNode> nodes, long time) {
    return item(
        WebhookKind.COMPOSITE,
        endpoint,
        time,
        out -> {
          out.writeFieldName("val");
          NodeWriter.write(out, nodes);
        });
  }

  /** Make the item of a registration event. */
  static Item registration(
      Event event, Registration registration, long time, long heardSince, Duration awake) {
    return item(
        WebhookKind.REGISTRATION,
        registration.getEndpoint(),
        time,
        out -> {
          out.writeNumberField("obj_id", REGISTRATION_OBJECT);
          out.writeNumberField("inst_id", 0);
          out.writeObjectFieldStart("val");
          out.writeStringField("kind", "singleResource");
          out.writeNumberField("id", event.resource);
          out.writeStringField("type", "TIME");
          out.writeNumberField("value", time);
          out.writeEndObject();
          writeRegistration(out, registration, heardSince, awake);
        });
  }

  /** Make the item of a device that was not let in. */
  static Item refusal(RefusalItems.Refused refused, RefusalItems.Count count) {
    return item(
        WebhookKind.REGISTRATION,
        text(refused.endpoint(), MAX_PATH),
        count.last(),
        out -> {
          out.writeObjectFieldStart("refusal");
          out.writeStringField("cause", refused.cause().code());
          out.writeStringField("address", refused.address());
          out.writeNumberField("count", count.times());
          if (count.detail() != null) {
            out.writeStringField("detail", text(count.detail(), MAX_REASON));
          }
          out.writeEndObject();
        });
  }

  /** Make the item of what a device sent that gives no value; it can always be written. */
  static Item failure(String endpoint, Failure failure, long time) {
    byte[] payload = failure.payload();
    return item(
        WebhookKind.SINGLE,
        endpoint,
        time,
        out -> {
          out.writeObjectFieldStart("failure");
          if (failure.path() != null) {
            out.writeStringField("path", text(failure.path(), MAX_PATH));
          }
          out.writeStringField("reason", text(failure.reason(), MAX_REASON));
          if (failure.format() != null) {
            out.writeNumberField("format", failure.format());
          }
          int shown = Math.min(payload.length, MAX_PAYLOAD);
          out.writeStringField("payload", HexFormat.of().formatHex(payload, 0, shown));
          out.writeNumberField("size", payload.length);
          if (failure.suppressed() > 0) {
            out.writeNumberField("suppressed", failure.suppressed());
          }
          out.writeEndObject();
        });
  }

  // A lone surrogate, the device's or left by the cut, becomes a question mark.
  private static String text(String text, int bound) {
    String cut = text.length() > bound ? text.substring(0, bound) : text;
    return new String(cut.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
  }

  private static void writeRegistration(
      JsonGenerator out, Registration registration, long heardSince, Duration awake)
      throws IOException {
    out.writeObjectFieldStart("reg");
    out.writeStringField("id", registration.getId());
    out.writeStringField("address", RegistrationWriter.address(registration));
    out.writeBooleanField("secure", RegistrationWriter.isSecure(registration));
    out.writeNumberField("lifetime", registration.getLifeTimeInSec());
    out.writeStringField("binding", binding(registration));
    out.writeStringField("version", registration.getLwM2mVersion().toString());
    out.writeFieldName("links");
    RegistrationWriter.writeLwM2mLinks(out, registration.getObjectLinks());
    out.writeNumberField("heard_since", heardSince);
    if (registration.usesQueueMode()) {
      Duration own = AwakeTimes.registered(registration);
      out.writeNumberField("awake", (own == null ? awake : own).toMillis() / 1000.0);
      out.writeBooleanField("awake_told", own != null);
    }
    out.writeEndObject();
  }

  // LwM2M 1.1 tells queue mode apart from the binding, 1.0 in it: here it is always in it.
  private static String binding(Registration registration) {
    String binding = BindingMode.toString(registration.getBindingMode());
    return registration.usesQueueMode() && !binding.contains("Q") ? binding + "Q" : binding;
  }

  private static Item item(WebhookKind kind, String endpoint, long time, Json.Content content) {
    byte[] json =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("ep", endpoint);
              content.write(out);
              out.writeNumberField("ts", time);
              out.writeEndObject();
            });
    return new Item(kind, endpoint, json);
  }
}
