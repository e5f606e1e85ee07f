package io.flownexus.leshan.simulator;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.eclipse.californium.core.network.Endpoint;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.response.ReadResponse;

/** Holds a device's objects, which its group lists, and passes on to them what happens to it. */
final class DeviceObjects implements ObjectHost {
  private final DeviceContext context;
  private final Runnable reboot;
  private final Runnable turnOff;
  private final Supplier<Endpoint> coap;
  private final List<SimulatedObject> all;

  /**
   * Make the objects; `reboot` turns the device off and on, `turnOff` off; `coap` is its socket.
   */
  DeviceObjects(DeviceContext context, Runnable reboot, Runnable turnOff, Supplier<Endpoint> coap) {
    this.context = context;
    this.reboot = reboot;
    this.turnOff = turnOff;
    this.coap = coap;
    all = context.spec().objects().stream().map(kind -> kind.create(this)).toList();
  }

  List<SimulatedObject> all() {
    return all;
  }

  @Override
  public DeviceContext context() {
    return context;
  }

  @Override
  public void reboot() {
    reboot.run();
  }

  @Override
  public Endpoint coap() {
    return coap.get();
  }

  @Override
  public void turnOff() {
    turnOff.run();
  }

  @Override
  public void event(String event) {
    all.forEach(object -> object.onEvent(event));
  }

  @Override
  public void installed(String version) {
    all.forEach(object -> object.onInstalled(version));
    event("installed " + version);
    reboot();
  }

  /** Let the values that drift do so, and notify those who observe them. */
  void drift() {
    all.forEach(SimulatedObject::drift);
  }

  /** Set a resource as the device itself would; IllegalArgumentException when it cannot. */
  void set(LwM2mPath path, String value) {
    if (!path.isResource() && !path.isResourceInstance()) {
      throw new IllegalArgumentException(path + " is not the path of a resource");
    }
    find(path)
        .orElseThrow(() -> new IllegalArgumentException("the device has no " + path))
        .set(path, value);
  }

  /** Take a resource's value to send it; IllegalArgumentException when there is none. */
  LwM2mResource take(LwM2mPath path) {
    SimulatedObject object =
        find(path)
            .filter(found -> path.isResource())
            .orElseThrow(() -> new IllegalArgumentException("the device has no resource " + path));
    object.refresh();
    ReadResponse read = object.read(LwM2mServer.SYSTEM, path.getResourceId());
    if (read.isFailure()) {
      throw new IllegalArgumentException("the device has no value at " + path);
    }
    return (LwM2mResource) read.getContent();
  }

  private Optional<SimulatedObject> find(LwM2mPath path) {
    return all.stream()
        .filter(object -> object.id() == path.getObjectId() && path.getObjectInstanceId() == 0)
        .findFirst();
  }

  /** Show all values that a server could read, by path. */
  Map<String, Object> values() {
    Map<String, Object> values = new LinkedHashMap<>();
    for (SimulatedObject object : all) {
      object
          .readable()
          .forEach((id, value) -> values.put("/" + object.id() + "/0/" + id, Values.plain(value)));
    }
    return values;
  }
}
