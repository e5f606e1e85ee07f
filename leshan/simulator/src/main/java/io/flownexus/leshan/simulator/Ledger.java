package io.flownexus.leshan.simulator;

import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;

/** Writes down a device's values: in one file those that were acknowledged, in another the rest. */
final class Ledger {
  private final JsonLines acknowledged;
  private final JsonLines unacknowledged;
  private final String endpoint;

  Ledger(DeviceContext context) {
    acknowledged = context.fleet().ledger();
    unacknowledged = context.fleet().unacknowledged();
    endpoint = JsonLines.quote(context.endpoint());
  }

  /** Write down the values of an acknowledged message; `more` is JSON that follows a comma. */
  void acknowledged(LwM2mPath path, LwM2mNode node, int mid, String more) {
    write(acknowledged, path, node, mid, more);
  }

  /** Write down the values of a message that will not be acknowledged any more, and why. */
  void unacknowledged(LwM2mPath path, LwM2mNode node, int mid, String more, String why) {
    write(unacknowledged, path, node, mid, more + ",\"ended\":" + JsonLines.quote(why));
  }

  /**
   * Write down the values of an observation's answer: none acknowledges it, and a server that was
   * killed after it had asked takes it for a notification.
   */
  void answered(LwM2mPath path, LwM2mNode node, int mid) {
    write(unacknowledged, path, node, mid, "\"ended\":\"answered\"");
  }

  private void write(JsonLines file, LwM2mPath path, LwM2mNode node, int mid, String more) {
    long now = System.currentTimeMillis();
    Values.each(path, node, (each, value) -> file.add(line(now, each, value, mid, more)));
  }

  private String line(long now, LwM2mPath path, Object value, int mid, String more) {
    return "{\"t\":"
        + now
        + ",\"ep\":"
        + endpoint
        + ",\"path\":\""
        + path
        + "\",\"value\":"
        + Values.json(value)
        + ",\"mid\":"
        + mid
        + ","
        + more
        + "}";
  }
}
