package io.flownexus.leshan.server.codec;

import com.upokecenter.cbor.CBORException;
import com.upokecenter.cbor.CBORObject;
import com.upokecenter.cbor.CBORType;
import java.math.BigDecimal;
import java.util.Date;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.codec.CodecException;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.node.codec.cbor.LwM2mNodeCborDecoder;
import org.eclipse.leshan.core.util.datatype.NumberUtil;

/**
 * Reads a number of CBOR in any notation as the type that the resource has, a time without tag too.
 *
 * <p>Leshan's own takes nothing but a floating-point number for a FLOAT.
 */
final class CborNodeDecoder implements NodeDecoder {

  private final NodeDecoder delegate = new LwM2mNodeCborDecoder(Links.parser());

  @Override
  public <T extends LwM2mNode> T decode(
      byte[] content, String rootPath, LwM2mPath path, LwM2mModel model, Class<T> nodeClass) {
    ResourceModel resource =
        path.isResource() || path.isResourceInstance()
            ? model.getResourceModel(path.getObjectId(), path.getResourceId())
            : null;
    Object value = resource == null ? null : number(content, resource.type, path);
    if (value == null) {
      return delegate.decode(content, rootPath, path, model, nodeClass);
    }
    return nodeClass.cast(
        path.isResource()
            ? LwM2mSingleResource.newResource(path.getResourceId(), value, resource.type)
            : LwM2mResourceInstance.newInstance(
                path.getResourceInstanceId(), value, resource.type));
  }

  // Null where it is no number, or is to be none.
  private static Object number(byte[] content, Type type, LwM2mPath path) {
    if (type != Type.FLOAT
        && type != Type.INTEGER
        && type != Type.UNSIGNED_INTEGER
        && type != Type.TIME) {
      return null;
    }
    try {
      CBORObject cbor = CBORObject.DecodeFromBytes(content == null ? new byte[0] : content);
      boolean tagged = cbor.HasMostOuterTag(1); // seconds since 1970 (RFC 8949, 3.4.2)
      CBORObject number = tagged ? cbor.UntagOne() : cbor;
      if (!number.isNumber() || tagged && type != Type.TIME) {
        return null;
      }
      if (type == Type.FLOAT && number.getType() == CBORType.FloatingPoint) {
        return number.AsDoubleValue(); // not a number, too: PostgreSQL's side says so
      }
      BigDecimal value = Numbers.decimal(number);
      return switch (type) {
        case FLOAT -> Numbers.toDouble(value);
        case INTEGER -> value.longValueExact();
        case UNSIGNED_INTEGER -> NumberUtil.numberToULong(value);
        default -> new Date(value.movePointRight(3).longValueExact());
      };
    } catch (CBORException | IllegalArgumentException | ArithmeticException e) {
      throw new CodecException(e, "%s is no %s in CBOR: %s", path, type, e.getMessage());
    }
  }
}
