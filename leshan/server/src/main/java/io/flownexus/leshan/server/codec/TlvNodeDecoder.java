package io.flownexus.leshan.server.codec;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.link.LinkParser;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mNodeException;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.node.codec.CodecException;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.tlv.Tlv;
import org.eclipse.leshan.core.tlv.Tlv.TlvType;
import org.eclipse.leshan.core.tlv.TlvDecoder;
import org.eclipse.leshan.core.tlv.TlvException;
import org.eclipse.leshan.core.util.datatype.ULong;

/**
 * Reads TLV (OMA LwM2M Core 1.1, 7.4.3, and appendix C for the values).
 *
 * <p>Leshan's own extends the sign of an unsigned integer, takes a time beyond 64 bits modulo, and
 * drops all values for a bad one.
 */
final class TlvNodeDecoder implements NodeDecoder {

  private static final LinkParser LINKS = Links.parser();

  @Override
  public <T extends LwM2mNode> T decode(
      byte[] content, String rootPath, LwM2mPath path, LwM2mModel model, Class<T> nodeClass) {
    try {
      Tlv[] tlvs = TlvDecoder.decode(ByteBuffer.wrap(content == null ? new byte[0] : content));
      Reading reading = new Reading(model);
      LwM2mNode node = reading.node(tlvs, path, nodeClass);
      if (!reading.rejected.isEmpty()) {
        TimestampedLwM2mNodes.Builder good = TimestampedLwM2mNodes.builder();
        if (node != null) {
          good.put(path, node);
        }
        throw new UnreadableException(good.build(), reading.rejected, ContentFormat.TLV.getCode());
      }
      return nodeClass.cast(node);
    } catch (TlvException | LwM2mNodeException | IllegalArgumentException e) {
      throw new CodecException(e, "no TLV of %s: %s", path, e.getMessage());
    }
  }

  /** One payload being read; what cannot be is left out of the node and noted. */
  private static final class Reading {

    private final LwM2mModel model;
    private final List<Rejected> rejected = new ArrayList<>(0);

    Reading(LwM2mModel model) {
      this.model = model;
    }

    LwM2mNode node(Tlv[] tlvs, LwM2mPath path, Class<? extends LwM2mNode> nodeClass) {
      if (nodeClass == LwM2mObject.class) {
        return object(tlvs, path);
      }
      if (nodeClass == LwM2mObjectInstance.class) {
        return instanceAlone(tlvs, path);
      }
      if (nodeClass == LwM2mResource.class) {
        return resourceAlone(tlvs, path);
      }
      if (nodeClass == LwM2mResourceInstance.class) {
        if (tlvs.length != 1) {
          throw new CodecException("one resource instance is expected, not %d", tlvs.length);
        }
        requireId(path.getResourceInstanceId(), tlvs[0], path);
        return resourceInstance(tlvs[0], path, type(path));
      }
      throw new CodecException("TLV has no node like that of %s", path);
    }

    private LwM2mObject object(Tlv[] tlvs, LwM2mPath path) {
      Map<Integer, LwM2mObjectInstance> instances = new LinkedHashMap<>();
      if (tlvs.length > 0 && isResource(tlvs[0])) {
        ObjectModel object = model.getObjectModel(path.getObjectId());
        if (object != null && object.multiple) {
          throw new CodecException("%s has several instances: a TLV without their ids", path);
        }
        instances.put(0, instance(tlvs, path.append(0)));
      } else {
        for (Tlv tlv : tlvs) {
          require(tlv, TlvType.OBJECT_INSTANCE, path);
          LwM2mPath own = path.append(tlv.getIdentifier());
          if (instances.put(tlv.getIdentifier(), instance(tlv.getChildren(), own)) != null) {
            throw new CodecException("%s is there twice", own);
          }
        }
      }
      return new LwM2mObject(path.getObjectId(), instances.values());
    }

    private LwM2mObjectInstance instanceAlone(Tlv[] tlvs, LwM2mPath path) {
      if (tlvs.length == 1 && tlvs[0].getType() == TlvType.OBJECT_INSTANCE) {
        requireId(path.getObjectInstanceId(), tlvs[0], path);
        return instance(tlvs[0].getChildren(), path);
      }
      return instance(tlvs, path);
    }

    private LwM2mObjectInstance instance(Tlv[] tlvs, LwM2mPath path) {
      Map<Integer, LwM2mResource> resources = new LinkedHashMap<>();
      for (Tlv tlv : tlvs) {
        LwM2mPath own = path.append(tlv.getIdentifier());
        LwM2mResource resource = resource(tlv, own);
        if (resource != null && resources.put(resource.getId(), resource) != null) {
          throw new CodecException("%s is there twice", own);
        }
      }
      return new LwM2mObjectInstance(path.getObjectInstanceId(), resources.values());
    }

    private LwM2mResource resourceAlone(Tlv[] given, LwM2mPath path) {
      Tlv[] tlvs = given;
      if (tlvs.length == 1 && tlvs[0].getType() == TlvType.OBJECT_INSTANCE) {
        requireId(path.getObjectInstanceId(), tlvs[0], path); // does not belong there
        tlvs = tlvs[0].getChildren();
      }
      ResourceModel resource = model.getResourceModel(path.getObjectId(), path.getResourceId());
      if (tlvs.length == 0 && resource != null && !resource.multiple) {
        throw new CodecException("the payload is empty, and %s is no multiple resource", path);
      }
      if (tlvs.length == 1 && tlvs[0].getType() != TlvType.RESOURCE_INSTANCE) {
        requireId(path.getResourceId(), tlvs[0], path);
        return resource(tlvs[0], path);
      }
      return multiple(tlvs, path);
    }

    private LwM2mResource resource(Tlv tlv, LwM2mPath path) {
      if (tlv.getType() == TlvType.MULTIPLE_RESOURCE) {
        return multiple(tlv.getChildren(), path);
      }
      require(tlv, TlvType.RESOURCE_VALUE, path);
      Type type = type(path);
      Object value = value(tlv.getValue(), type, path);
      return value == null
          ? null
          : LwM2mSingleResource.newResource(path.getResourceId(), value, type);
    }

    private LwM2mMultipleResource multiple(Tlv[] tlvs, LwM2mPath path) {
      Type type = type(path);
      Map<Integer, LwM2mResourceInstance> instances = new LinkedHashMap<>();
      for (Tlv tlv : tlvs) {
        LwM2mPath own = path.append(tlv.getIdentifier());
        LwM2mResourceInstance instance = resourceInstance(tlv, own, type);
        if (instance != null && instances.put(instance.getId(), instance) != null) {
          throw new CodecException("%s is there twice", own);
        }
      }
      return new LwM2mMultipleResource(path.getResourceId(), type, instances.values());
    }

    private LwM2mResourceInstance resourceInstance(Tlv tlv, LwM2mPath path, Type type) {
      require(tlv, TlvType.RESOURCE_INSTANCE, path);
      Object value = value(tlv.getValue(), type, path);
      return value == null
          ? null
          : LwM2mResourceInstance.newInstance(path.getResourceInstanceId(), value, type);
    }

    // Null where the bytes are no value of the type.
    private Object value(byte[] bytes, Type type, LwM2mPath path) {
      try {
        return read(bytes, type);
      } catch (TlvException | LinkParseException | ArithmeticException e) {
        rejected.add(
            new Rejected(path.toString(), "no " + type + " in TLV: " + e.getMessage(), bytes));
        return null;
      }
    }

    private Type type(LwM2mPath path) {
      ResourceModel resource = model.getResourceModel(path.getObjectId(), path.getResourceId());
      return resource == null ? Type.OPAQUE : resource.type;
    }
  }

  private static Object read(byte[] bytes, Type type) throws TlvException, LinkParseException {
    return switch (type) {
      case STRING -> TlvDecoder.decodeString(bytes);
      case INTEGER -> signed(bytes);
      case UNSIGNED_INTEGER -> ULong.valueOf(new BigInteger(1, integer(bytes)));
      case FLOAT -> TlvDecoder.decodeFloat(bytes).doubleValue();
      case BOOLEAN -> bool(bytes);
      case TIME -> new Date(Math.multiplyExact(signed(bytes), 1000L));
      case OPAQUE -> bytes;
      case OBJLNK -> TlvDecoder.decodeObjlnk(exactly(4, bytes));
      case CORELINK -> LINKS.parseCoreLinkFormat(bytes);
      default -> throw new TlvException("the resource has no value");
    };
  }

  private static long signed(byte[] bytes) throws TlvException {
    return new BigInteger(integer(bytes)).longValueExact();
  }

  private static byte[] integer(byte[] bytes) throws TlvException {
    if (bytes.length < 1 || bytes.length > 8) {
      throw new TlvException("an integer has 1 to 8 bytes, not " + bytes.length);
    }
    return bytes;
  }

  private static boolean bool(byte[] bytes) throws TlvException {
    byte value = exactly(1, bytes)[0];
    if (value != 0 && value != 1) {
      throw new TlvException("a boolean is 0 or 1, not " + value);
    }
    return value == 1;
  }

  private static byte[] exactly(int length, byte[] bytes) throws TlvException {
    if (bytes.length != length) {
      throw new TlvException("it has " + bytes.length + " bytes, not " + length);
    }
    return bytes;
  }

  private static boolean isResource(Tlv tlv) {
    return tlv.getType() == TlvType.MULTIPLE_RESOURCE || tlv.getType() == TlvType.RESOURCE_VALUE;
  }

  private static void require(Tlv tlv, TlvType type, LwM2mPath path) {
    if (tlv.getType() != type) {
      throw new CodecException("%s is a TLV of type %s, not %s", path, tlv.getType(), type);
    }
  }

  private static void requireId(Integer id, Tlv tlv, LwM2mPath path) {
    if (id != tlv.getIdentifier()) {
      throw new CodecException("the TLV has the id %d, not that of %s", tlv.getIdentifier(), path);
    }
  }
}
