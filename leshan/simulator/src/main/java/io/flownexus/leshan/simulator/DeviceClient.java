package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Supplier;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.bootstrap.BootstrapHandler;
import org.eclipse.leshan.client.bootstrap.DefaultBootstrapConsistencyChecker;
import org.eclipse.leshan.client.engine.DefaultClientEndpointNameProvider;
import org.eclipse.leshan.client.engine.RegistrationEngine;
import org.eclipse.leshan.client.engine.RegistrationEngineFactory;
import org.eclipse.leshan.client.notification.DefaultNotificationStrategy;
import org.eclipse.leshan.client.notification.NotificationDataStore;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.request.DefaultDownlinkReceiver;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.resource.BaseInstanceEnablerFactory;
import org.eclipse.leshan.client.resource.LwM2mInstanceEnabler;
import org.eclipse.leshan.client.resource.LwM2mInstanceEnablerFactory;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.resource.LwM2mRootEnabler;
import org.eclipse.leshan.client.resource.NotificationSender;
import org.eclipse.leshan.client.resource.ObjectEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.NotificationAttributeTree;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.response.ObserveResponse;

/** Puts a Leshan client together of a device's parts. */
final class DeviceClient {
  private DeviceClient() {}

  /**
   * Build a client that is off; IOException when its credentials cannot be read.
   *
   * @param server object 1
   * @param requests what requests go through; notifications do not
   */
  static LeshanClient build(
      DeviceContext context,
      ServerObject server,
      DeviceObjects objects,
      DeviceEndpoints endpoints,
      RequestLog requests,
      RegistrationEngineFactory registration)
      throws IOException {
    Engine engine = context.engine();
    String uri = context.fleet().serverUri();
    Credentials credentials = context.fleet().credentials();
    boolean bootstraps = context.spec().bootstraps();
    List<LwM2mObjectEnabler> enablers = new ArrayList<>();
    enablers.add(
        enabler(
            engine,
            0,
            bootstraps
                ? credentials.bootstrap(uri, context.endpoint())
                : credentials.security(uri, context.endpoint()),
            bootstraps ? Security::new : DeviceClient::oneServer));
    enablers.add(enabler(engine, 1, server, bootstraps ? () -> server : DeviceClient::oneServer));
    for (SimulatedObject object : objects.all()) {
      enablers.add(enabler(engine, object.id(), object, object::another));
    }
    return new LeshanClient(
        new DefaultClientEndpointNameProvider(context.endpoint()),
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
        return new DeviceNotificationManager(context.executor(), tree, requests.next(), executor);
      }
    };
  }

  private static LwM2mInstanceEnabler oneServer() {
    throw new UnsupportedOperationException("a simulated device has one server");
  }

  private static ObjectEnabler enabler(
      Engine engine, int id, BaseInstanceEnabler instance, Supplier<LwM2mInstanceEnabler> another) {
    ObjectModel model = engine.models.getObjectModel(id);
    instance.setId(0);
    instance.setModel(model);
    Map<Integer, LwM2mInstanceEnabler> instances = new HashMap<>(Map.of(0, instance));
    return new ObjectEnabler(id, model, instances, new Instances(another), ContentFormat.DEFAULT);
  }

  /** Sends at an attribute's least or greatest period on the device's executor, as all else. */
  private static final class DeviceNotificationManager extends NotificationManager {
    private final DeviceExecutor executor;

    DeviceNotificationManager(
        DeviceExecutor executor,
        LwM2mObjectTree tree,
        DownlinkRequestReceiver receiver,
        ScheduledExecutorService timers) {
      super(tree, receiver, new NotificationDataStore(), new DefaultNotificationStrategy(), timers);
      this.executor = executor;
    }

    @Override
    protected void sendNotification(
        LwM2mServer server,
        ObserveRequest request,
        ObserveResponse response,
        NotificationAttributeTree attributes,
        NotificationSender sender) {
      executor.dispatch(
          () -> super.sendNotification(server, request, response, attributes, sender));
    }
  }

  /** Makes instances that a server creates: of its id, or of the next. */
  private record Instances(Supplier<LwM2mInstanceEnabler> another)
      implements LwM2mInstanceEnablerFactory {
    @Override
    public LwM2mInstanceEnabler create(ObjectModel model, Integer id, Collection<Integer> used) {
      LwM2mInstanceEnabler instance = another.get();
      instance.setId(id == null ? BaseInstanceEnablerFactory.generateNewInstanceId(used) : id);
      instance.setModel(model);
      return instance;
    }
  }
}
