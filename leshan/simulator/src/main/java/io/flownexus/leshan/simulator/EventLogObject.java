package io.flownexus.leshan.simulator;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;

/** Simulates object 20: an event log that collects lines while it runs. */
final class EventLogObject extends SimulatedObject {
  private static final int LOG_CLASS = 4010;
  private static final int START = 4011;
  private static final int STOP = 4012;
  private static final int STATUS = 4013;
  private static final int DATA = 4014;
  private static final int FORMAT = 4015;
  private static final long STOPPED = 0b01;
  private static final long VALID = 0b10;
  private static final int LIMIT_BYTES = 4096;

  EventLogObject(ObjectHost host) {
    put(LOG_CLASS, 0L);
    put(STATUS, STOPPED);
    put(DATA, new byte[0]);
    put(FORMAT, 0L);
  }

  /** Log an event, if the log runs; the oldest bytes give way. */
  @Override
  void onEvent(String event) {
    if (((long) value(STATUS) & STOPPED) != 0) {
      return;
    }
    byte[] line = (event + "\n").getBytes(StandardCharsets.UTF_8);
    byte[] old = (byte[]) value(DATA);
    byte[] all = Arrays.copyOf(old, old.length + line.length);
    System.arraycopy(line, 0, all, old.length, line.length);
    int from = Math.max(0, all.length - LIMIT_BYTES);
    change(Map.of(DATA, Arrays.copyOfRange(all, from, all.length), STATUS, VALID));
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource == START) {
      byte[] data = arguments.hasDigit(0) ? (byte[]) value(DATA) : new byte[0];
      change(Map.of(DATA, data, STATUS, data.length == 0 ? 0L : VALID));
      onEvent("log started");
    } else if (resource == STOP) {
      byte[] data = arguments.hasDigit(0) ? new byte[0] : (byte[]) value(DATA);
      change(Map.of(DATA, data, STATUS, STOPPED | (data.length == 0 ? 0L : VALID)));
    } else {
      return ExecuteResponse.notFound();
    }
    return ExecuteResponse.success();
  }

  @Override
  List<Integer> executable() {
    return List.of(START, STOP);
  }
}
