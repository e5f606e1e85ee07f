package io.flownexus.leshan.simulator;

import java.util.List;
import java.util.Map;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;

/** Simulates object 3341, a text display: a server creates as many instances as it likes. */
final class DisplayObject extends SimulatedObject {
  private static final int TEXT = 5527;
  private static final int CLEAR = 5530;
  private static final Map<Integer, Object> INITIAL =
      Map.of(TEXT, "", 5528, 0L, 5529, 0L, 5531, 50.0, 5545, 79L, 5546, 24L, 5548, 100.0);

  DisplayObject() {
    INITIAL.forEach(this::put);
  }

  @Override
  DisplayObject another() {
    return new DisplayObject();
  }

  /**
   * Have the initial value again: a write that replaces the instance does not name the resource.
   */
  @Override
  public void reset(int resource) {
    if (INITIAL.containsKey(resource)) {
      change(Map.of(resource, INITIAL.get(resource)));
    }
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != CLEAR) {
      return ExecuteResponse.notFound();
    }
    change(Map.of(TEXT, ""));
    return ExecuteResponse.success();
  }

  @Override
  List<Integer> executable() {
    return List.of(CLEAR);
  }
}
