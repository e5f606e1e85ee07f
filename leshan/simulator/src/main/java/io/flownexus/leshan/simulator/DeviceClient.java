package io.flownexus.leshan.simulator;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ScheduledExecutorService;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.bootstrap.BootstrapHandler;
import org.eclipse.leshan.client.bootstrap.DefaultBootstrapConsistencyChecker;
import org.eclipse.leshan.client.engine.DefaultClientEndpointNameProvider;
import org.eclipse.leshan.client.engine.RegistrationEngine;
import org.eclipse.leshan.client.engine.RegistrationEngineFactory;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.request.DefaultDownlinkReceiver;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.resource.BaseInstanceEnablerFactory;
import org.eclipse.leshan.client.resource.LwM2mInstanceEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.resource.LwM2mRootEnabler;
import org.eclipse.leshan.client.resource.ObjectEnabler;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.request.ContentFormat;

/** Puts a Leshan client together of a device's parts. */
final class DeviceClient {
  private DeviceClient() {}

  /** Build a client that is off; its requests go through the log, its notifications do not. */
  static LeshanClient build(
      String endpoint,
      Engine engine,
      Map<Integer, BaseInstanceEnabler> instances,
      DeviceEndpoints endpoints,
      RequestLog requests,
      RegistrationEngineFactory registration) {
    List<LwM2mObjectEnabler> enablers = new ArrayList<>();
    instances.forEach((id, instance) -> enablers.add(enabler(engine, id, instance)));
    return new LeshanClient(
        new DefaultClientEndpointNameProvider(endpoint),
        enablers,
        List.of(),
        null,
        registration,
        new DefaultBootstrapConsistencyChecker(engine.servers),
        null,
        null,
        engine.encoder,
        engine.decoder,
        engine.timers,
        new DefaultLinkSerializer(),
        engine.links,
        engine.servers,
        new DefaultLwM2mAttributeParser(),
        new DefaultEndPointUriHandler(),
        endpoints) {
      @Override
      protected DownlinkRequestReceiver createRequestReceiver(
          BootstrapHandler bootstrap,
          LwM2mRootEnabler root,
          LwM2mObjectTree tree,
          RegistrationEngine registrations) {
        requests.handOnTo(new DefaultDownlinkReceiver(bootstrap, root, tree, registrations));
        return requests;
      }

      @Override
      protected NotificationManager createNotificationManager(
          LwM2mObjectTree tree,
          DownlinkRequestReceiver receiver,
          ScheduledExecutorService executor) {
        return super.createNotificationManager(tree, requests.next(), executor);
      }
    };
  }

  private static ObjectEnabler enabler(Engine engine, int id, BaseInstanceEnabler instance) {
    ObjectModel model = engine.models.getObjectModel(id);
    instance.setId(0);
    instance.setModel(model);
    Map<Integer, LwM2mInstanceEnabler> instances = new HashMap<>(Map.of(0, instance));
    ObjectEnabler enabler =
        new ObjectEnabler(id, model, instances, new NoMoreInstances(), ContentFormat.DEFAULT);
    if (instance instanceof SimulatedObject simulated) {
      simulated.belongsTo(enabler);
    }
    return enabler;
  }

  private static final class NoMoreInstances extends BaseInstanceEnablerFactory {
    @Override
    public LwM2mInstanceEnabler create() {
      throw new UnsupportedOperationException("a simulated object has one instance");
    }
  }
}
