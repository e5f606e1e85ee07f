package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.function.Consumer;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/** Simulates object 1, the device's server; unlike Leshan's, it can be disabled. */
final class ServerObject extends Server {
  private static final int DISABLE = 4;
  private static final int DISABLE_TIMEOUT = 5;

  private final Consumer<Duration> disable;
  private long timeoutS = 86_400; // OMA LwM2M Core 1.1, appendix E.2

  /** Make it; `disable` lets the device leave for so long. */
  ServerObject(Duration lifetime, Consumer<Duration> disable) {
    super(
        Credentials.SERVER_ID,
        lifetime.toSeconds(),
        EnumSet.of(BindingMode.U),
        false,
        BindingMode.U);
    this.disable = disable;
  }

  @Override
  public ReadResponse read(LwM2mServer server, int resource) {
    return resource == DISABLE_TIMEOUT
        ? ReadResponse.success(resource, timeoutS)
        : super.read(server, resource);
  }

  @Override
  public WriteResponse write(
      LwM2mServer server, boolean replace, int resource, LwM2mResource written) {
    if (resource != DISABLE_TIMEOUT) {
      return super.write(server, replace, resource, written);
    }
    timeoutS = (Long) written.getValue();
    fireResourceChange(resource);
    return WriteResponse.success();
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != DISABLE) {
      return super.execute(server, resource, arguments);
    }
    disable.accept(Duration.ofSeconds(timeoutS));
    return ExecuteResponse.success();
  }

  @Override
  public List<Integer> getAvailableResourceIds(ObjectModel model) {
    List<Integer> ids = new ArrayList<>(super.getAvailableResourceIds(model));
    ids.addAll(List.of(DISABLE, DISABLE_TIMEOUT));
    ids.sort(null);
    return ids;
  }
}
