package io.flownexus.leshan.simulator;

import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.util.datatype.ULong;

/**
 * Simulates object 3442, OMA's for tests: a value of each type to read and write, and as many
 * instances as a server creates.
 */
final class TestObject extends SimulatedObject {
  private static final int RESET = 0;
  private static final Map<Integer, Object> INITIAL =
      Map.ofEntries(
          Map.entry(110, "initial value"),
          Map.entry(120, 1024L),
          Map.entry(125, ULong.valueOf("9223372036854775808")),
          Map.entry(130, 3.14159),
          Map.entry(140, true),
          Map.entry(150, new byte[] {1, 2, 3}),
          Map.entry(160, new Date(946_684_800_000L)),
          Map.entry(170, new ObjectLink(3, 0)),
          Map.entry(1110, Map.of(0, "initial value")),
          Map.entry(1120, Map.of(0, 1024L)));

  TestObject() {
    INITIAL.forEach(this::put);
  }

  @Override
  TestObject another() {
    return new TestObject();
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
    if (resource != RESET) {
      return ExecuteResponse.notFound();
    }
    change(new TreeMap<>(INITIAL));
    return ExecuteResponse.success();
  }

  @Override
  List<Integer> executable() {
    return List.of(RESET);
  }
}
