package io.flownexus.leshan.server.rest;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.json.Json;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Option;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.interceptors.MessageInterceptor;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationStore;

/**
 * Tells the CoAP messages of a device to the event streams that ask for this one, in the event of
 * Leshan's demo server; without payloads that may hold keys.
 */
final class CoapLog implements MessageInterceptor {

  private static final String EVENT = "COAPLOG";
  private static final int MAX_PAYLOAD = 1024; // bytes that are shown of one

  private final RegistrationStore registrations;
  private final Set<EventStream> streams;
  private final ShownPayloads shown;

  CoapLog(RegistrationStore registrations, Set<EventStream> streams) {
    this.registrations = registrations;
    this.streams = streams;
    shown = new ShownPayloads(registrations);
  }

  @Override
  public void sendRequest(Request request) {
    tell(request, false, request.getCode().toString());
  }

  @Override
  public void sendResponse(Response response) {
    tell(response, false, response.getCode().toString());
  }

  @Override
  public void sendEmptyMessage(EmptyMessage message) {
    tell(message, false, null);
  }

  @Override
  public void receiveRequest(Request request) {
    tell(request, true, request.getCode().toString());
  }

  @Override
  public void receiveResponse(Response response) {
    tell(response, true, response.getCode().toString());
  }

  @Override
  public void receiveEmptyMessage(EmptyMessage message) {
    tell(message, true, null);
  }

  // Runs for each message of each device: nothing is looked up unless somebody asks for one.
  private void tell(Message message, boolean incoming, String code) {
    if (streams.stream().noneMatch(EventStream::isOfOneDevice)) {
      return;
    }
    InetSocketAddress peer =
        (incoming ? message.getSourceContext() : message.getDestinationContext()).getPeerAddress();
    Registration registration = registrations.getRegistrationByAdress(peer);
    if (registration == null) {
      return;
    }
    String endpoint = registration.getEndpoint();
    if (streams.stream().noneMatch(each -> each.isOfOneDevice() && each.wants(endpoint))) {
      return;
    }
    boolean whole = shown.test(registration, message, incoming);
    byte[] json = null;
    for (EventStream stream : streams) {
      if (stream.isOfOneDevice() && stream.wants(endpoint)) {
        if (json == null) {
          json = Json.bytes(out -> write(out, endpoint, message, incoming, code, whole));
        }
        stream.event(EVENT, json);
      }
    }
  }

  private static void write(
      JsonGenerator out,
      String endpoint,
      Message message,
      boolean incoming,
      String code,
      boolean whole)
      throws IOException {
    out.writeStartObject();
    out.writeNumberField("timestamp", System.currentTimeMillis());
    out.writeBooleanField("incoming", incoming);
    out.writeStringField("type", String.valueOf(message.getType()));
    out.writeStringField("code", code);
    out.writeNumberField("mId", message.getMID());
    out.writeStringField("token", message.getTokenString());
    out.writeStringField("options", options(message));
    out.writeStringField("payload", payload(message.getPayload(), whole));
    out.writeStringField("ep", endpoint);
    out.writeEndObject();
  }

  private static String options(Message message) {
    Map<String, String> values = new LinkedHashMap<>();
    for (Option option : message.getOptions().asSortedList()) {
      String name = String.valueOf(option.getDefinition());
      values.merge(name, option.toValueString(), (one, other) -> one + ", " + other);
    }
    return values.isEmpty()
        ? null
        : values.entrySet().stream()
            .map(each -> each.getKey() + ": " + each.getValue())
            .collect(Collectors.joining(" - "));
  }

  private static String payload(byte[] payload, boolean whole) {
    if (payload.length == 0) {
      return null;
    }
    if (!whole) {
      return payload.length + " bytes, not shown: they may hold a key";
    }
    int shown = Math.min(payload.length, MAX_PAYLOAD);
    for (int i = 0; i < shown; i++) {
      if (payload[i] < ' ' || payload[i] > '~') {
        return "Hex:" + HexFormat.of().formatHex(payload, 0, shown);
      }
    }
    return new String(payload, 0, shown, StandardCharsets.US_ASCII);
  }
}
