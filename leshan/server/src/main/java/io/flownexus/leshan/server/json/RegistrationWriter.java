package io.flownexus.leshan.server.json;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.attributes.Attribute;
import org.eclipse.leshan.core.link.lwm2m.MixedLwM2mLink;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.server.registration.Registration;

/** Writes registrations and links in the JSON of Leshan's demo server. */
public final class RegistrationWriter {

  private RegistrationWriter() {}

  /** Write a whole registration; sleeping is null when its device uses no queue mode. */
  public static void write(JsonGenerator out, Registration registration, Boolean sleeping)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("endpoint", registration.getEndpoint());
    out.writeStringField("registrationId", registration.getId());
    out.writeNumberField("registrationDate", registration.getRegistrationDate().getTime());
    out.writeNumberField("lastUpdate", registration.getLastUpdate().getTime());
    out.writeStringField("address", address(registration));
    if (registration.getSmsNumber() != null) {
      out.writeStringField("smsNumber", registration.getSmsNumber());
    }
    out.writeStringField("lwM2mVersion", registration.getLwM2mVersion().toString());
    out.writeNumberField("lifetime", registration.getLifeTimeInSec());
    out.writeStringField("bindingMode", BindingMode.toString(registration.getBindingMode()));
    out.writeStringField("rootPath", registration.getRootPath());
    out.writeFieldName("objectLinks");
    writeLinks(out, registration.getObjectLinks());
    out.writeBooleanField("secure", isSecure(registration));
    out.writeObjectFieldStart("additionalRegistrationAttributes");
    for (Map.Entry<String, String> attribute :
        registration.getAdditionalRegistrationAttributes().entrySet()) {
      out.writeStringField(attribute.getKey(), attribute.getValue());
    }
    out.writeEndObject();
    out.writeBooleanField("queuemode", registration.usesQueueMode());
    writeInstances(out, registration);
    if (sleeping != null) {
      out.writeBooleanField("sleeping", sleeping);
    }
    out.writeEndObject();
  }

  /** Write links as an array of url and attributes. */
  public static void writeLinks(JsonGenerator out, Link[] links) throws IOException {
    out.writeStartArray();
    if (links != null) {
      for (Link link : links) {
        writeLink(out, link.getUriReference(), link);
      }
    }
    out.writeEndArray();
  }

  /** Write links as {@link #writeLinks} does, by LwM2M path alone: without the device's root. */
  public static void writeLwM2mLinks(JsonGenerator out, Link[] links) throws IOException {
    out.writeStartArray();
    if (links != null) {
      for (Link link : links) {
        if (link instanceof MixedLwM2mLink lwm2m) { // all that is below the root
          writeLink(out, lwm2m.getPath().toString(), link);
        }
      }
    }
    out.writeEndArray();
  }

  private static void writeLink(JsonGenerator out, String url, Link link) throws IOException {
    out.writeStartObject();
    out.writeStringField("url", url);
    out.writeObjectFieldStart("attributes");
    for (Attribute attribute : link.getAttributes()) {
      out.writeStringField(attribute.getName(), attribute.getCoreLinkValue());
    }
    out.writeEndObject();
    out.writeEndObject();
  }

  /** Return host:port of the device, an IPv6 host in brackets. */
  public static String address(Registration registration) {
    InetAddress address = registration.getAddress();
    String host = address.getHostAddress();
    return (address instanceof Inet6Address ? "[" + host + "]" : host)
        + ":"
        + registration.getPort();
  }

  /** Return whether the device talks over DTLS. */
  public static boolean isSecure(Registration registration) {
    return registration.getClientTransportData().getIdentity().isSecure();
  }

  private static void writeInstances(JsonGenerator out, Registration registration)
      throws IOException {
    Map<Integer, TreeSet<Integer>> instances = new TreeMap<>();
    for (LwM2mPath path : registration.getAvailableInstances()) {
      instances
          .computeIfAbsent(path.getObjectId(), id -> new TreeSet<>())
          .add(path.getObjectInstanceId());
    }
    out.writeObjectFieldStart("availableInstances");
    for (Map.Entry<Integer, TreeSet<Integer>> entry : instances.entrySet()) {
      out.writeArrayFieldStart(Integer.toString(entry.getKey()));
      for (Integer instance : entry.getValue()) {
        out.writeNumber(instance);
      }
      out.writeEndArray();
    }
    out.writeEndObject();
  }
}
