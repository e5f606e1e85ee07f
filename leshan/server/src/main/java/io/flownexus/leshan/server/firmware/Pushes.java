package io.flownexus.leshan.server.firmware;

import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.registration.Registration;

/**
 * Packages on their way to devices that take them only by a write: at most one for each device.
 *
 * <p>Who has begun one asks again and again until it has ended: asking for the same one goes on
 * with it. One that nobody asks for ends by itself.
 */
public final class Pushes {

  private final LeshanServer server;
  private final PackageSource packages;
  private final Duration pace;
  private final Map<String, Push> pushes = new LinkedHashMap<>(16, 0.75f, true);

  /** Push packages from this source, to each device at most one block in the time of the pace. */
  public Pushes(LeshanServer server, PackageSource packages, Duration pace) {
    this.server = server;
    this.packages = packages;
    this.pace = pace;
  }

  /**
   * How a push stands: its end, which fails where there is no answer, and how many bytes the device
   * has taken of how many; 0 of 0 as long as nothing was read.
   */
  public record Standing(CompletableFuture<LwM2mResponse> end, long sent, long size) {}

  /** Begin a push, or go on with it. */
  public Standing ask(Registration registration, LwM2mPath path, String token) {
    Push push;
    boolean begins;
    synchronized (pushes) {
      dropForgotten();
      Push known = pushes.get(registration.getEndpoint());
      begins = known == null || !known.isOf(registration, path, token);
      if (begins && known != null) {
        known.cancel("another push took its place");
      }
      push = begins ? new Push(server, packages, registration, path, token, pace) : known;
      pushes.put(registration.getEndpoint(), push);
      push.asked();
    }
    if (begins) {
      push.go();
    }
    return standing(push);
  }

  /** Return how a push stands that was asked for; null where another one took its place. */
  public Standing look(Registration registration, LwM2mPath path, String token) {
    synchronized (pushes) {
      Push known = pushes.get(registration.getEndpoint());
      return known != null && known.isOf(registration, path, token) ? standing(known) : null;
    }
  }

  /**
   * End a push at once: its device is told something else about this path, such as to forget the
   * package (/5/0/10, or an empty /5/0/1).
   */
  public void stop(Registration registration, LwM2mPath path) {
    synchronized (pushes) {
      Push known = pushes.get(registration.getEndpoint());
      if (known != null && known.concerns(path)) {
        known.cancel("the device was told something else at " + path);
      }
    }
  }

  /** Forget a push whose end was told: the same one asked for again begins anew. */
  public void told(Registration registration, Standing ended) {
    synchronized (pushes) {
      Push known = pushes.get(registration.getEndpoint());
      if (known != null && known.end() == ended.end()) {
        pushes.remove(registration.getEndpoint());
      }
    }
  }

  private static Standing standing(Push push) {
    return new Standing(push.end(), push.sent(), push.size());
  }

  // The longest unasked come first.
  private void dropForgotten() {
    Iterator<Push> eldest = pushes.values().iterator();
    while (eldest.hasNext()) {
      Push push = eldest.next();
      if (!push.isForgotten()) {
        return;
      }
      push.cancel("nobody asked for it any more");
      eldest.remove();
    }
  }
}
