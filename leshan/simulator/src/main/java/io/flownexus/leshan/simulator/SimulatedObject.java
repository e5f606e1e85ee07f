package io.flownexus.leshan.simulator;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/**
 * Keeps the values of one object instance; what may be read or written says its model.
 *
 * <p>Once the device is built, its executor alone calls this.
 */
abstract class SimulatedObject extends BaseInstanceEnabler {
  private final Map<Integer, Object> values = new TreeMap<>();

  SimulatedObject() {
    super(0);
  }

  /** Return the object's id. */
  final int id() {
    return getModel().id;
  }

  /** Keep a value without notifying; a Map of instance ids for a multi-instance resource. */
  final void put(int resource, Object value) {
    values.put(resource, value);
  }

  /** Keep values and notify. */
  final void change(Map<Integer, ?> changed) {
    values.putAll(changed);
    int[] ids = changed.keySet().stream().mapToInt(Integer::intValue).toArray();
    fireResourcesChange(getResourcePaths(ids));
  }

  /** Make another instance for a server; UnsupportedOperationException when there is but one. */
  SimulatedObject another() {
    throw new UnsupportedOperationException("object " + id() + " has one instance");
  }

  /** Get the value of a resource, or null. */
  Object value(int resource) {
    return values.get(resource);
  }

  /** Get the values that a server could read, by resource. */
  final Map<Integer, Object> readable() {
    Map<Integer, Object> readable = new TreeMap<>();
    for (ResourceModel resource : getModel().resources.values()) {
      Object value = resource.operations.isReadable() ? value(resource.id) : null;
      if (value != null) {
        readable.put(resource.id, value);
      }
    }
    return readable;
  }

  /** Change as time passes, and notify. */
  void drift() {}

  /** Change as time passes, without notifying: the values are about to be sent. */
  void refresh() {}

  /** Be told of an event, in a word or two. */
  void onEvent(String event) {}

  /** Be told which firmware has been installed. */
  void onInstalled(String version) {}

  /** Set a resource or resource instance from text, as the device itself would; notifies. */
  final void set(LwM2mPath path, String text) {
    ResourceModel model = getModel().resources.get(path.getResourceId());
    if (model == null || model.type == ResourceModel.Type.NONE) {
      throw new IllegalArgumentException(path + " has no value");
    }
    if (model.multiple != path.isResourceInstance()) {
      throw new IllegalArgumentException(
          path + (model.multiple ? " needs an instance id" : " has no instances"));
    }
    Object value = Values.parse(model.type, text);
    change(Map.of(model.id, model.multiple ? merged(path, value) : value));
  }

  private Map<Integer, Object> merged(LwM2mPath path, Object value) {
    Map<Integer, Object> instances = instances(path.getResourceId());
    instances.put(path.getResourceInstanceId(), value);
    return instances;
  }

  private Map<Integer, Object> instances(int resource) {
    Map<Integer, Object> instances = new TreeMap<>();
    if (value(resource) instanceof Map<?, ?> known) {
      known.forEach((id, each) -> instances.put((Integer) id, each));
    }
    return instances;
  }

  @Override
  public ReadResponse read(LwM2mServer server, int resource) {
    Object value = value(resource);
    return value == null ? ReadResponse.notFound() : ReadResponse.success(node(resource, value));
  }

  private LwM2mResource node(int id, Object value) {
    ResourceModel model = getModel().resources.get(id);
    if (value instanceof Map<?, ?> instances) {
      Map<Integer, Object> typed = new TreeMap<>();
      instances.forEach((instance, each) -> typed.put((Integer) instance, each));
      return LwM2mMultipleResource.newResource(id, typed, model.type);
    }
    return LwM2mSingleResource.newResource(id, value, model.type);
  }

  @Override
  public WriteResponse write(
      LwM2mServer server, boolean replace, int resource, LwM2mResource written) {
    if (value(resource) == null) {
      return WriteResponse.notFound();
    }
    Object value = written.getValue();
    if (written.isMultiInstances()) {
      Map<Integer, Object> instances = replace ? new TreeMap<>() : instances(resource);
      written.getInstances().forEach((id, each) -> instances.put(id, each.getValue()));
      value = instances;
    }
    change(Map.of(resource, value));
    return WriteResponse.success();
  }

  @Override
  public List<Integer> getAvailableResourceIds(ObjectModel model) {
    TreeSet<Integer> ids = new TreeSet<>(values.keySet());
    ids.addAll(executable());
    return new ArrayList<>(ids);
  }

  /** List the resources that have no value but can be executed or written. */
  abstract List<Integer> executable();
}
