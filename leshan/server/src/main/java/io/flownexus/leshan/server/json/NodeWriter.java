package io.flownexus.leshan.server.json;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.Date;
import java.util.HexFormat;
import java.util.Map;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.LinkSerializer;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mRoot;
import org.eclipse.leshan.core.node.ObjectLink;

/** Writes LwM2M nodes in the JSON that Leshan's demo server made the de-facto standard. */
public final class NodeWriter {

  private static final HexFormat HEX = HexFormat.of();
  private static final LinkSerializer LINKS = new DefaultLinkSerializer();

  private NodeWriter() {}

  /** Write a node of any level. */
  public static void write(JsonGenerator out, LwM2mNode node) throws IOException {
    if (node instanceof LwM2mResource resource) {
      if (resource.isMultiInstances()) {
        writeMultiple(out, resource);
      } else {
        writeValue(
            out, "singleResource", resource.getId(), resource.getType(), resource.getValue());
      }
    } else if (node instanceof LwM2mResourceInstance instance) {
      writeValue(
          out, "resourceInstance", instance.getId(), instance.getType(), instance.getValue());
    } else if (node instanceof LwM2mObjectInstance instance) {
      writeChildren(
          out, "instance", instance.getId(), "resources", instance.getResources().values());
    } else if (node instanceof LwM2mObject object) {
      writeChildren(out, "obj", object.getId(), "instances", object.getInstances().values());
    } else if (node instanceof LwM2mRoot root) {
      writeChildren(out, "root", null, "objects", root.getObjects().values());
    } else {
      throw new IllegalArgumentException("not a LwM2M node: " + node);
    }
  }

  /** Write nodes by path, leaving out the paths that have no node. */
  public static void write(JsonGenerator out, Map<LwM2mPath, ? extends LwM2mNode> nodes)
      throws IOException {
    out.writeStartObject();
    for (Map.Entry<LwM2mPath, ? extends LwM2mNode> entry : nodes.entrySet()) {
      if (entry.getValue() != null) {
        out.writeFieldName(entry.getKey().toString());
        write(out, entry.getValue());
      }
    }
    out.writeEndObject();
  }

  private static void writeChildren(
      JsonGenerator out,
      String kind,
      Integer id,
      String field,
      Iterable<? extends LwM2mNode> children)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("kind", kind);
    if (id != null) {
      out.writeNumberField("id", id);
    }
    out.writeArrayFieldStart(field);
    for (LwM2mNode child : children) {
      write(out, child);
    }
    out.writeEndArray();
    out.writeEndObject();
  }

  private static void writeValue(JsonGenerator out, String kind, int id, Type type, Object value)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("kind", kind);
    out.writeNumberField("id", id);
    out.writeStringField("type", type.name());
    out.writeFieldName("value");
    writeValue(out, type, value);
    out.writeEndObject();
  }

  private static void writeMultiple(JsonGenerator out, LwM2mResource resource) throws IOException {
    out.writeStartObject();
    out.writeStringField("kind", "multiResource");
    out.writeNumberField("id", resource.getId());
    out.writeStringField("type", resource.getType().name());
    out.writeObjectFieldStart("values");
    for (LwM2mResourceInstance instance : resource.getInstances().values()) {
      out.writeFieldName(Integer.toString(instance.getId()));
      writeValue(out, resource.getType(), instance.getValue());
    }
    out.writeEndObject();
    out.writeEndObject();
  }

  private static void writeValue(JsonGenerator out, Type type, Object value) throws IOException {
    switch (type) {
      // Integers and floats are strings: a JavaScript number holds no 64-bit integer.
      case INTEGER, UNSIGNED_INTEGER, FLOAT -> out.writeString(value.toString());
      case BOOLEAN -> out.writeBoolean((Boolean) value);
      case TIME -> out.writeNumber(((Date) value).getTime());
      case OPAQUE -> out.writeString(HEX.formatHex((byte[]) value));
      case OBJLNK -> writeObjectLink(out, (ObjectLink) value);
      case CORELINK -> out.writeString(LINKS.serializeCoreLinkFormat((Link[]) value));
      default -> out.writeString(String.valueOf(value));
    }
  }

  private static void writeObjectLink(JsonGenerator out, ObjectLink link) throws IOException {
    out.writeStartObject();
    out.writeNumberField("objectId", link.getObjectId());
    out.writeNumberField("objectInstanceId", link.getObjectInstanceId());
    out.writeEndObject();
  }
}
