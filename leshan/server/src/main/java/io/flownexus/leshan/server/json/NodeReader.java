package io.flownexus.leshan.server.json;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.codec.Links;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.link.LinkParser;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.InvalidLwM2mPathException;
import org.eclipse.leshan.core.node.LwM2mChildNode;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mNodeException;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;
import org.eclipse.leshan.core.util.datatype.ULong;

/** Reads the node JSON that {@link NodeWriter} writes; any fault is an InvalidRequestException. */
public final class NodeReader {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final LinkParser LINKS = Links.parser();

  private NodeReader() {}

  /** Read one node from JSON text. */
  public static LwM2mChildNode read(byte[] json) {
    return node(parse(json));
  }

  /** Read an object of path to node from JSON text. */
  public static Map<LwM2mPath, LwM2mNode> readByPath(byte[] json) {
    JsonNode tree = parse(json);
    if (!tree.isObject()) {
      throw invalid("a JSON object of path to node is expected");
    }
    Map<LwM2mPath, LwM2mNode> nodes = new LinkedHashMap<>();
    tree.properties().forEach(entry -> nodes.put(path(entry.getKey()), node(entry.getValue())));
    return nodes;
  }

  private static JsonNode parse(byte[] json) {
    try {
      JsonNode tree = MAPPER.readTree(json);
      if (tree == null || tree.isMissingNode()) {
        throw invalid("the body is empty");
      }
      return tree;
    } catch (JsonProcessingException e) {
      throw invalid("not JSON: " + e.getOriginalMessage());
    } catch (IOException e) {
      throw invalid("not JSON: " + e.getMessage());
    }
  }

  private static LwM2mPath path(String text) {
    try {
      return new LwM2mPath(text);
    } catch (InvalidLwM2mPathException | IllegalArgumentException e) {
      throw invalid("not a path: " + text);
    }
  }

  private static LwM2mChildNode node(JsonNode json) {
    try {
      return dispatch(json);
    } catch (LwM2mNodeException | IllegalArgumentException e) { // of the nodes' constructors
      throw invalid(e.getMessage());
    }
  }

  private static LwM2mChildNode dispatch(JsonNode json) {
    if (!json.isObject()) {
      throw invalid("a node is a JSON object");
    }
    String kind = json.path("kind").asText("");
    if (kind.equals("obj") || json.has("instances")) {
      return new LwM2mObject(id(json), children(json, "instances", LwM2mObjectInstance.class));
    }
    if (kind.equals("instance") || json.has("resources")) {
      List<LwM2mResource> resources = children(json, "resources", LwM2mResource.class);
      return json.has("id")
          ? new LwM2mObjectInstance(id(json), resources)
          : new LwM2mObjectInstance(resources);
    }
    if (kind.equals("multiResource") || json.has("values")) {
      return multiple(json);
    }
    if (!json.has("value")) {
      throw invalid("a node has instances, resources, values or a value");
    }
    Type type = type(json);
    Object value = value(json.get("value"), type);
    return kind.equals("resourceInstance")
        ? LwM2mResourceInstance.newInstance(id(json), value, type)
        : LwM2mSingleResource.newResource(id(json), value, type);
  }

  private static LwM2mChildNode multiple(JsonNode json) {
    JsonNode values = json.path("values");
    if (!values.isObject()) {
      throw invalid("values is an object of instance id to value");
    }
    Type type = type(json);
    Map<Integer, Object> byId = new LinkedHashMap<>();
    values
        .properties()
        .forEach(entry -> byId.put(number(entry.getKey()), value(entry.getValue(), type)));
    return LwM2mMultipleResource.newResource(id(json), byId, type);
  }

  private static <T extends LwM2mNode> List<T> children(
      JsonNode json, String field, Class<T> level) {
    JsonNode array = json.path(field);
    if (!array.isArray()) {
      throw invalid(field + " is an array");
    }
    List<T> children = new ArrayList<>(array.size());
    for (JsonNode child : array) {
      LwM2mNode node = dispatch(child);
      if (!level.isInstance(node)) {
        throw invalid(field + " holds a node of another level");
      }
      children.add(level.cast(node));
    }
    return children;
  }

  private static int id(JsonNode json) {
    JsonNode id = json.path("id");
    if (!id.canConvertToInt() || !id.isIntegralNumber()) {
      throw invalid("id is missing or no integer");
    }
    return id.intValue();
  }

  private static int number(String text) {
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException e) {
      throw invalid("not an instance id: " + text);
    }
  }

  private static Type type(JsonNode json) {
    try {
      return Type.valueOf(json.path("type").asText("").toUpperCase(Locale.ROOT));
    } catch (IllegalArgumentException e) {
      throw invalid("type is missing or unknown");
    }
  }

  private static Object value(JsonNode json, Type type) {
    try {
      Object value =
          switch (type) {
            case BOOLEAN -> json.isBoolean() ? json.booleanValue() : null;
            case STRING -> json.isTextual() ? json.textValue() : null;
            case INTEGER -> integer(json);
            case UNSIGNED_INTEGER -> unsigned(json);
            case FLOAT -> number(json);
            case TIME ->
                json.isIntegralNumber() && json.canConvertToLong()
                    ? new Date(json.longValue())
                    : null;
            case OPAQUE -> json.isTextual() ? HexFormat.of().parseHex(json.textValue()) : null;
            case OBJLNK -> objectLink(json);
            case CORELINK ->
                json.isTextual()
                    ? LINKS.parseCoreLinkFormat(json.textValue().getBytes(StandardCharsets.UTF_8))
                    : null;
            default -> null;
          };
      if (value == null) {
        throw invalid("the value is not of type " + type);
      }
      return value;
    } catch (LinkParseException | IllegalArgumentException e) {
      throw invalid("the value is not of type " + type + ": " + e.getMessage());
    }
  }

  private static Long integer(JsonNode json) {
    if (json.isTextual()) {
      return Long.valueOf(json.textValue());
    }
    return json.isIntegralNumber() && json.canConvertToLong() ? json.longValue() : null;
  }

  private static ULong unsigned(JsonNode json) {
    if (json.isTextual()) {
      return ULong.valueOf(json.textValue());
    }
    return json.isIntegralNumber() ? ULong.valueOf(new BigInteger(json.asText())) : null;
  }

  private static Double number(JsonNode json) {
    double value;
    if (json.isTextual()) {
      value = Double.parseDouble(json.textValue());
    } else if (json.isNumber()) {
      value = json.doubleValue();
    } else {
      return null;
    }
    return Double.isFinite(value) ? value : null;
  }

  private static ObjectLink objectLink(JsonNode json) {
    JsonNode object = json.path("objectId");
    JsonNode instance = json.path("objectInstanceId");
    return object.isInt() && instance.isInt()
        ? new ObjectLink(object.intValue(), instance.intValue())
        : null;
  }

  private static InvalidRequestException invalid(String reason) {
    return new InvalidRequestException("%s", reason);
  }
}
