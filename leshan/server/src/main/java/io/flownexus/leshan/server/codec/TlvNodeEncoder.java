package io.flownexus.leshan.server.codec;

import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.codec.LwM2mValueConverter;
import org.eclipse.leshan.core.node.codec.NodeEncoder;
import org.eclipse.leshan.core.node.codec.tlv.LwM2mNodeTlvEncoder;
import org.eclipse.leshan.core.util.datatype.ULong;

/**
 * Writes TLV, unsigned integers as bytes of its own.
 *
 * <p>Leshan's own takes the shortest signed form: 2^64 - 1 becomes the byte ff. Here an unsigned
 * integer has the first of 1, 2, 4 and 8 bytes whose top bit it leaves free, or 8: what a device
 * reads right that extends the sign, wherever that can be.
 */
final class TlvNodeEncoder implements NodeEncoder {

  private static final int[] LENGTHS = {1, 2, 4, 8};

  private final NodeEncoder delegate = new LwM2mNodeTlvEncoder();

  @Override
  public byte[] encode(
      LwM2mNode node,
      String rootPath,
      LwM2mPath path,
      LwM2mModel model,
      LwM2mValueConverter converter) {
    Bytes bytes = new Bytes(model, converter, path.getObjectId());
    return delegate.encode(bytes.of(node, path), rootPath, path, bytes, converter);
  }

  private static byte[] unsigned(ULong value) {
    byte[] shortest = value.toBigInteger().toByteArray(); // with a sign, which is 0
    for (int length : LENGTHS) {
      if (shortest.length <= length) {
        byte[] bytes = new byte[length];
        System.arraycopy(shortest, 0, bytes, length - shortest.length, shortest.length);
        return bytes;
      }
    }
    return Arrays.copyOfRange(shortest, 1, shortest.length);
  }

  /** The same nodes and model, with unsigned integers as opaque bytes. */
  private record Bytes(LwM2mModel model, LwM2mValueConverter converter, int objectId)
      implements LwM2mModel {

    LwM2mNode of(LwM2mNode node, LwM2mPath path) {
      if (node instanceof LwM2mObject object) {
        return new LwM2mObject(
            object.getId(), object.getInstances().values().stream().map(this::instance).toList());
      }
      if (node instanceof LwM2mObjectInstance instance) {
        return instance(instance);
      }
      if (node instanceof LwM2mResource resource) {
        return resource(resource);
      }
      if (node instanceof LwM2mResourceInstance instance
          && isUnsigned(path.getResourceId(), instance.getType())) {
        return LwM2mResourceInstance.newInstance(
            instance.getId(), bytes(instance.getValue(), instance.getType(), path), Type.OPAQUE);
      }
      return node;
    }

    private LwM2mObjectInstance instance(LwM2mObjectInstance instance) {
      List<LwM2mResource> resources =
          instance.getResources().values().stream().map(this::resource).toList();
      return instance.getId() == LwM2mObjectInstance.UNDEFINED
          ? new LwM2mObjectInstance(resources)
          : new LwM2mObjectInstance(instance.getId(), resources);
    }

    private LwM2mResource resource(LwM2mResource resource) {
      if (!isUnsigned(resource.getId(), resource.getType())) {
        return resource;
      }
      LwM2mPath path = new LwM2mPath(objectId, 0, resource.getId()); // for messages
      if (!resource.isMultiInstances()) {
        return LwM2mSingleResource.newResource(
            resource.getId(), bytes(resource.getValue(), resource.getType(), path), Type.OPAQUE);
      }
      Map<Integer, Object> values = new LinkedHashMap<>();
      resource
          .getInstances()
          .forEach((id, one) -> values.put(id, bytes(one.getValue(), one.getType(), path)));
      return LwM2mMultipleResource.newResource(resource.getId(), values, Type.OPAQUE);
    }

    private byte[] bytes(Object value, Type type, LwM2mPath path) {
      Object converted = converter.convertValue(value, type, Type.UNSIGNED_INTEGER, path);
      return unsigned((ULong) converted);
    }

    private boolean isUnsigned(int resourceId, Type given) {
      ResourceModel known = model.getResourceModel(objectId, resourceId);
      return (known == null ? given : known.type) == Type.UNSIGNED_INTEGER;
    }

    @Override
    public ResourceModel getResourceModel(int object, int resource) {
      ResourceModel known = model.getResourceModel(object, resource);
      if (known == null || known.type != Type.UNSIGNED_INTEGER) {
        return known;
      }
      return new ResourceModel(
          known.id,
          known.name,
          known.operations,
          known.multiple,
          known.mandatory,
          Type.OPAQUE,
          known.rangeEnumeration,
          known.units,
          known.description);
    }

    @Override
    public ObjectModel getObjectModel(int object) {
      return model.getObjectModel(object);
    }

    @Override
    public Collection<ObjectModel> getObjectModels() {
      return model.getObjectModels();
    }
  }
}
