package io.flownexus.leshan.server;

import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.coap.CoAP;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.engine.DefaultRegistrationEngineFactory;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.send.ManualDataSender;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientProtocolProvider;

/** A real LwM2M client with objects 1, 3 and 3303. */
public final class TestDevice implements AutoCloseable {

  private static final List<ObjectModel> MODELS = ObjectModels.all(null);

  final LeshanClient client;
  private final CaliforniumClientEndpointsProvider provider;
  final Device device = new Device();
  final Temperature temperature = new Temperature();
  final ManualDataSender sender = new ManualDataSender();

  /** Make a device that talks plain CoAP. */
  static TestDevice plain(String endpoint, int port) {
    return new TestDevice(endpoint, Security.noSec("coap://127.0.0.1:" + port, 1), 300, false);
  }

  /** Make a device that has a bootstrap server only. */
  static TestDevice bootstrapped(String endpoint, Security bootstrap) {
    return new TestDevice(endpoint, bootstrap, null, false);
  }

  TestDevice(String endpoint, Security security, long lifetime, boolean queueMode) {
    this(endpoint, security, new Server(1, lifetime), queueMode);
  }

  private TestDevice(String endpoint, Security security, Server account, boolean queueMode) {
    ObjectsInitializer objects = new ObjectsInitializer(new StaticModel(MODELS));
    objects.setInstancesForObject(LwM2mId.SECURITY, security);
    objects.setClassForObject(LwM2mId.SERVER, Server.class);
    if (account != null) {
      objects.setInstancesForObject(LwM2mId.SERVER, account);
    }
    objects.setInstancesForObject(LwM2mId.DEVICE, device);
    objects.setInstancesForObject(3303, temperature);
    CaliforniumClientEndpointsProvider.Builder endpoints =
        new CaliforniumClientEndpointsProvider.Builder(
            new CoapClientProtocolProvider(), new CoapsClientProtocolProvider());
    Configuration configuration = endpoints.createDefaultConfiguration();
    configuration.set(CoapConfig.ACK_TIMEOUT, 500, TimeUnit.MILLISECONDS);
    configuration.set(
        DtlsConfig.DTLS_CONNECTION_ID_LENGTH, 0); // takes the server's, has none itself
    endpoints.setConfiguration(configuration);
    provider = endpoints.build();
    DefaultRegistrationEngineFactory engine = new DefaultRegistrationEngineFactory();
    engine.setQueueMode(queueMode);
    engine.setRequestTimeoutInMs(5000);
    engine.setRetryWaitingTimeInMs(500);
    client =
        new LeshanClientBuilder(endpoint)
            .setObjects(objects.createAll())
            .setEndpointsProviders(provider)
            .setRegistrationEngineFactory(engine)
            .setDataSenders(sender)
            .build();
  }

  TestDevice start() {
    client.start();
    return this;
  }

  /** Notify of an object's resources with confirmable messages. */
  void confirm(int objectId) {
    Resource resource = provider.getCoapServer().getRoot().getChild(Integer.toString(objectId));
    ((CoapResource) resource).setObserveType(CoAP.Type.CON);
  }

  LwM2mServer server() {
    return client.getRegisteredServers().values().iterator().next();
  }

  @Override
  public void close() {
    client.destroy(true);
  }

  /** Leaves without a word. */
  void vanish() {
    client.destroy(false);
  }

  /** Object 3. */
  public static final class Device extends BaseInstanceEnabler {
    volatile String zone = "Europe/Berlin";
    volatile long readDelayMillis;
    volatile int reboots;
    volatile int reads;

    @Override
    public ReadResponse read(LwM2mServer server, int resource) {
      return switch (resource) {
        case 0 -> ReadResponse.success(resource, "Flow Nexus");
        case 7 -> ReadResponse.success(resource, Map.of(0, 3800L, 1, 5000L), Type.INTEGER);
        case 9 -> slow(resource);
        case 11 -> ReadResponse.success(resource, Map.of(0, 0L), Type.INTEGER);
        case 13 -> ReadResponse.success(resource, new Date(1_700_000_000_000L));
        case 15 -> ReadResponse.success(resource, zone);
        case 16 -> ReadResponse.success(resource, "U");
        default -> ReadResponse.notFound();
      };
    }

    @Override
    public WriteResponse write(
        LwM2mServer server, boolean replace, int resource, LwM2mResource value) {
      if (resource == 15) {
        zone = (String) value.getValue();
        return WriteResponse.success();
      }
      return WriteResponse.notFound();
    }

    @Override
    public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
      if (resource == 4) {
        reboots++;
        return ExecuteResponse.success();
      }
      return ExecuteResponse.internalServerError("broken");
    }

    @Override
    public List<Integer> getAvailableResourceIds(ObjectModel model) {
      return List.of(0, 4, 5, 7, 9, 11, 13, 15, 16);
    }

    private ReadResponse slow(int resource) {
      reads++;
      try {
        Thread.sleep(readDelayMillis);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      return ReadResponse.success(resource, 80L);
    }
  }

  /** Object 3303. */
  public static final class Temperature extends BaseInstanceEnabler {
    private final Map<Integer, Object> values =
        new ConcurrentSkipListMap<>(Map.of(5700, 24.9, 5701, "Cel"));

    void set(double value) {
      values.put(5700, value);
      fireResourceChange(5700);
    }

    @Override
    public ReadResponse read(LwM2mServer server, int resource) {
      return switch (resource) {
        case 5700 -> ReadResponse.success(resource, (Double) values.get(5700));
        case 5701 -> ReadResponse.success(resource, (String) values.get(5701));
        default -> ReadResponse.notFound();
      };
    }

    @Override
    public List<Integer> getAvailableResourceIds(ObjectModel model) {
      return List.of(5700, 5701);
    }
  }
}
