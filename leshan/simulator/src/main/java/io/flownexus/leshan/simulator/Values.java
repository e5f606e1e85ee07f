package io.flownexus.leshan.simulator;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BiConsumer;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.util.datatype.ULong;

/** Turns LwM2M values into JSON's and text into LwM2M values. */
final class Values {
  private static final ObjectMapper JSON = new ObjectMapper();

  private Values() {}

  /** Make a value of the type a resource has; TIME is epoch ms, OPAQUE hex, OBJLNK "3:0". */
  static Object parse(ResourceModel.Type type, String text) {
    return switch (type) {
      case STRING -> text;
      case INTEGER -> Long.valueOf(text);
      case UNSIGNED_INTEGER -> ULong.valueOf(text);
      case FLOAT -> Double.valueOf(text);
      case BOOLEAN -> parseBoolean(text);
      case TIME -> new Date(Long.parseLong(text));
      case OPAQUE -> HexFormat.of().parseHex(text);
      case OBJLNK -> ObjectLink.decodeFromString(text);
      default -> throw new IllegalArgumentException("no value of type " + type + " can be set");
    };
  }

  private static Boolean parseBoolean(String text) {
    if (!text.equals("true") && !text.equals("false")) {
      throw new IllegalArgumentException("not a boolean: " + text);
    }
    return Boolean.valueOf(text);
  }

  /** Show a value as JSON has it: TIME epoch ms, OPAQUE hex, instances of a resource by id. */
  static Object plain(Object value) {
    if (value instanceof Date date) {
      return date.getTime();
    } else if (value instanceof byte[] bytes) {
      return HexFormat.of().formatHex(bytes);
    } else if (value instanceof ULong number) {
      return number.toBigInteger();
    } else if (value instanceof ObjectLink link) {
      return link.encodeToString();
    } else if (value instanceof Map<?, ?> many) {
      Map<String, Object> instances = new LinkedHashMap<>();
      many.forEach((id, each) -> instances.put(id.toString(), plain(each)));
      return instances;
    } else if (value instanceof LwM2mResourceInstance instance) {
      return plain(instance.getValue());
    } else if (value instanceof LwM2mResource resource) {
      return plain(resource.isMultiInstances() ? resource.getInstances() : resource.getValue());
    }
    return value;
  }

  /** Write a value as JSON text. */
  static String json(Object value) {
    Object shown = plain(value);
    if (shown instanceof Double || shown instanceof Long || shown instanceof Integer) {
      return shown.toString();
    }
    try {
      return JSON.writeValueAsString(shown);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(e);
    }
  }

  /** Visit each resource, or resource instance, of a node. */
  static void each(LwM2mPath path, LwM2mNode node, BiConsumer<LwM2mPath, Object> visitor) {
    if (node instanceof LwM2mObject object) {
      object
          .getInstances()
          .values()
          .forEach(i -> each(new LwM2mPath(path.getObjectId(), i.getId()), i, visitor));
    } else if (node instanceof LwM2mObjectInstance instance) {
      instance
          .getResources()
          .values()
          .forEach(
              r ->
                  each(
                      new LwM2mPath(path.getObjectId(), path.getObjectInstanceId(), r.getId()),
                      r,
                      visitor));
    } else if (node != null) {
      visitor.accept(path, node);
    }
  }
}
