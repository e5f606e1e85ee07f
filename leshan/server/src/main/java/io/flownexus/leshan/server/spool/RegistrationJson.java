package io.flownexus.leshan.server.spool;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.codec.Links;
import io.flownexus.leshan.server.json.Json;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.HashMap;
import java.util.Map;
import org.eclipse.leshan.core.LwM2m.LwM2mVersion;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.LwM2mIdentity;
import org.eclipse.leshan.core.peer.PskIdentity;
import org.eclipse.leshan.core.peer.SocketIdentity;
import org.eclipse.leshan.core.peer.X509Identity;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.server.registration.DefaultRegistrationDataExtractor;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationDataExtractor.RegistrationData;

/** Writes and reads what a device told when it registered, from which the rest follows. */
final class RegistrationJson {

  private static final ObjectMapper MAPPER = new ObjectMapper();

  private RegistrationJson() {}

  /** Return whether the device's kind of identity can be written. */
  static boolean writable(Registration registration) {
    return registration.getClientTransportData() instanceof IpPeer peer
        && (peer.getIdentity() instanceof SocketIdentity
            || peer.getIdentity() instanceof PskIdentity
            || peer.getIdentity() instanceof X509Identity);
  }

  static String write(Registration registration) {
    byte[] json =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("id", registration.getId());
              out.writeStringField("endpoint", registration.getEndpoint());
              writePeer(out, (IpPeer) registration.getClientTransportData());
              out.writeStringField("uri", registration.getEndpointUri().toString());
              out.writeNumberField("registered", registration.getRegistrationDate().getTime());
              out.writeNumberField("updated", registration.getLastUpdate().getTime());
              out.writeNumberField("lifetime", registration.getLifeTimeInSec());
              out.writeStringField("version", registration.getLwM2mVersion().toString());
              out.writeStringField("binding", BindingMode.toString(registration.getBindingMode()));
              if (registration.getQueueMode() != null) {
                out.writeBooleanField("queue_mode", registration.getQueueMode());
              }
              if (registration.getSmsNumber() != null) {
                out.writeStringField("sms", registration.getSmsNumber());
              }
              if (registration.getObjectLinks() != null) {
                out.writeStringField(
                    "links",
                    new DefaultLinkSerializer()
                        .serializeCoreLinkFormat(registration.getObjectLinks()));
              }
              writeMap(out, "attributes", registration.getAdditionalRegistrationAttributes());
              writeMap(out, "custom", registration.getCustomRegistrationData());
              out.writeEndObject();
            });
    return new String(json, StandardCharsets.UTF_8);
  }

  static Registration read(String text) {
    try {
      JsonNode json = MAPPER.readTree(text);
      LwM2mVersion version = LwM2mVersion.get(json.path("version").asText());
      Registration.Builder builder =
          new Registration.Builder(
                  json.path("id").asText(),
                  json.path("endpoint").asText(),
                  readPeer(json),
                  new DefaultEndPointUriHandler().createUri(json.path("uri").asText()))
              .registrationDate(new Date(json.path("registered").asLong()))
              .lastUpdate(new Date(json.path("updated").asLong()))
              .lifeTimeInSec(json.path("lifetime").asLong())
              .lwM2mVersion(version)
              .bindingMode(BindingMode.parse(json.path("binding").asText()))
              .queueMode(json.has("queue_mode") ? json.path("queue_mode").asBoolean() : null)
              .smsNumber(json.has("sms") ? json.path("sms").asText() : null)
              .additionalRegistrationAttributes(readMap(json.path("attributes")))
              .customRegistrationData(readMap(json.path("custom")));
      if (json.has("links")) {
        readLinks(builder, json.path("links").asText(), version);
      }
      return builder.build();
    } catch (JsonProcessingException | LinkParseException e) {
      throw new IllegalStateException("not a registration: " + text, e);
    }
  }

  private static void readLinks(Registration.Builder builder, String text, LwM2mVersion version)
      throws LinkParseException {
    Link[] links = Links.parser().parseCoreLinkFormat(text.getBytes(StandardCharsets.UTF_8));
    RegistrationData data =
        new DefaultRegistrationDataExtractor().extractDataFromObjectLinks(links, version);
    builder
        .objectLinks(links)
        .rootPath(data.getAlternatePath())
        .supportedContentFormats(data.getSupportedContentFormats())
        .supportedObjects(data.getSupportedObjects())
        .availableInstances(data.getAvailableInstances());
  }

  private static void writePeer(JsonGenerator out, IpPeer peer) throws IOException {
    out.writeStringField("address", peer.getSocketAddress().getAddress().getHostAddress());
    out.writeNumberField("port", peer.getSocketAddress().getPort());
    if (peer.getVirtualHost() != null) {
      out.writeStringField("virtual_host", peer.getVirtualHost());
    }
    if (peer.getIdentity() instanceof PskIdentity psk) {
      out.writeStringField("psk", psk.getPskIdentity());
    } else if (peer.getIdentity() instanceof X509Identity x509) {
      out.writeStringField("x509", x509.getX509CommonName());
    }
  }

  private static IpPeer readPeer(JsonNode json) {
    InetSocketAddress address =
        new InetSocketAddress(json.path("address").asText(), json.path("port").asInt());
    LwM2mIdentity identity = new SocketIdentity(address);
    if (json.has("psk")) {
      identity = new PskIdentity(json.path("psk").asText());
    } else if (json.has("x509")) {
      identity = new X509Identity(json.path("x509").asText());
    }
    return json.has("virtual_host")
        ? new IpPeer(address, json.path("virtual_host").asText(), identity)
        : new IpPeer(address, identity);
  }

  private static void writeMap(JsonGenerator out, String name, Map<String, String> map)
      throws IOException {
    out.writeObjectFieldStart(name);
    for (Map.Entry<String, String> entry : map.entrySet()) {
      out.writeStringField(entry.getKey(), entry.getValue());
    }
    out.writeEndObject();
  }

  private static Map<String, String> readMap(JsonNode json) {
    Map<String, String> map = new HashMap<>();
    json.properties().forEach(entry -> map.put(entry.getKey(), entry.getValue().asText()));
    return map;
  }
}
