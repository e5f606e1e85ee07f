package io.flownexus.leshan.server.bootstrap;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.flownexus.leshan.server.json.NodeReader;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;

/**
 * An object instance that is written, as the function says it: its path, and values by resource.
 */
record Write(LwM2mPath path, JsonNode resources) {

  private static final ObjectMapper MAPPER = new ObjectMapper();

  static Write of(JsonNode write) {
    return new Write(new LwM2mPath(write.path("path").asText()), write.path("resources"));
  }

  /** Return the same, but not in the place of the device's bootstrap server. */
  Write beside(int bootstrapServer) {
    boolean taken =
        path.getObjectId() == LwM2mId.SECURITY && path.getObjectInstanceId() == bootstrapServer;
    return taken
        ? new Write(new LwM2mPath(LwM2mId.SECURITY, bootstrapServer == 0 ? 1 : 0), resources)
        : this;
  }

  /** Encode it; InvalidRequestException names what is not as its object model says. */
  byte[] encode(LwM2mEncoder encoder, ContentFormat format, LwM2mModel model) {
    ObjectNode instance = MAPPER.createObjectNode();
    instance.put("kind", "instance").put("id", path.getObjectInstanceId());
    ArrayNode typed = instance.putArray("resources");
    for (var each : resources.properties()) {
      typed.add(resource(Integer.parseInt(each.getKey()), each.getValue(), model));
    }
    LwM2mNode node = NodeReader.read(instance.toString().getBytes(StandardCharsets.UTF_8));
    return encoder.encode(node, format, null, path, model);
  }

  private ObjectNode resource(int id, JsonNode value, LwM2mModel model) {
    ResourceModel described = model.getResourceModel(path.getObjectId(), id);
    if (described == null) {
      throw new InvalidRequestException("%s", "no object model has " + path + "/" + id);
    }
    ObjectNode resource = MAPPER.createObjectNode();
    resource.put("id", id).put("type", described.type.name().toLowerCase(Locale.ROOT));
    if (described.multiple) {
      ObjectNode values = resource.putObject("values");
      for (var each : value.properties()) {
        values.set(each.getKey(), typed(each.getValue(), described.type));
      }
    } else {
      resource.set("value", typed(value, described.type));
    }
    return resource;
  }

  private static JsonNode typed(JsonNode value, Type type) {
    if (type != Type.OBJLNK) {
      return value;
    }
    String[] ids = value.asText().split(":", 2);
    ObjectNode link = MAPPER.createObjectNode();
    try {
      link.put("objectId", Integer.parseInt(ids[0]));
      link.put("objectInstanceId", Integer.parseInt(ids[ids.length - 1]));
    } catch (NumberFormatException e) {
      throw new InvalidRequestException("%s", "an object link is like 21:0, not " + value.asText());
    }
    return link;
  }
}
