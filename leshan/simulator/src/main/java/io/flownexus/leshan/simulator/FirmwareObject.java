package io.flownexus.leshan.simulator;

import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.channels.UnresolvedAddressException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/** Simulates object 5: takes or downloads a firmware package and installs it. */
final class FirmwareObject extends SimulatedObject {
  private static final int PACKAGE = 0;
  private static final int URI_ID = 1;
  private static final int UPDATE = 2;
  private static final int STATE = 3;
  private static final int RESULT = 5;
  private static final int NAME = 6;
  private static final int VERSION = 7;

  private static final long IDLE = 0;
  private static final long DOWNLOADING = 1;
  private static final long DOWNLOADED = 2;
  private static final long UPDATING = 3;

  private static final long INITIAL = 0;
  private static final long SUCCESS = 1;
  private static final long NO_SPACE = 2;
  private static final long CONNECTION_LOST = 4;
  private static final long NOT_INTACT = 5;
  private static final long UNSUPPORTED_TYPE = 6;
  private static final long INVALID_URI = 7;
  private static final long UNSUPPORTED_PROTOCOL = 9;

  private final Engine engine;
  private final Duration installTime;
  private final Consumer<String> installed;
  private FirmwarePackage ready;
  private CompletableFuture<?> download;
  private int attempt;

  /** Start idle; `installed` is told the new version once a package is installed. */
  FirmwareObject(Engine engine, String version, Duration installTime, Consumer<String> installed) {
    this.engine = engine;
    this.installTime = installTime;
    this.installed = installed;
    put(URI_ID, "");
    put(STATE, IDLE);
    put(RESULT, INITIAL);
    put(NAME, "firmware");
    put(VERSION, version);
    put(8, Map.of(0, 2L, 1, 3L));
    put(9, 2L);
  }

  @Override
  public WriteResponse write(
      LwM2mServer server, boolean replace, int resource, LwM2mResource written) {
    if (resource == URI_ID) {
      return writeUri((String) written.getValue());
    } else if (resource == PACKAGE) {
      return writePackage((byte[]) written.getValue());
    }
    return super.write(server, replace, resource, written);
  }

  @Override
  public ReadResponse read(LwM2mServer server, int resource) {
    return resource == PACKAGE ? ReadResponse.methodNotAllowed() : super.read(server, resource);
  }

  private WriteResponse writeUri(String uri) {
    if (uri.length() > 255) {
      return WriteResponse.badRequest("Package URI above 255 characters");
    } else if (uri.isEmpty()) {
      return reset();
    } else if ((long) value(STATE) != IDLE) {
      return WriteResponse.methodNotAllowed();
    }
    attempt++;
    put(URI_ID, uri);
    URI target;
    try {
      target = URI.create(uri);
    } catch (IllegalArgumentException e) {
      return refuse(INVALID_URI);
    }
    String scheme = target.getScheme();
    if (scheme == null || target.isOpaque() || target.getHost() == null) {
      return refuse(INVALID_URI);
    } else if (!scheme.equalsIgnoreCase("http") && !scheme.equalsIgnoreCase("https")) {
      return refuse(UNSUPPORTED_PROTOCOL);
    }
    show(DOWNLOADING, INITIAL);
    download(target, attempt);
    return WriteResponse.success();
  }

  private WriteResponse refuse(long result) {
    put(RESULT, INITIAL);
    show(IDLE, result);
    return WriteResponse.success();
  }

  private WriteResponse writePackage(byte[] bytes) {
    if (bytes.length == 0 || bytes.length == 1 && bytes[0] == 0) {
      return reset();
    } else if ((long) value(STATE) != IDLE) {
      return WriteResponse.methodNotAllowed();
    }
    attempt++;
    take(bytes);
    return WriteResponse.success();
  }

  private WriteResponse reset() {
    if ((long) value(STATE) == UPDATING) {
      return WriteResponse.methodNotAllowed();
    }
    attempt++;
    ready = null;
    if (download != null) {
      download.cancel(true);
    }
    put(URI_ID, "");
    show(IDLE, INITIAL);
    return WriteResponse.success();
  }

  private void download(URI uri, int mine) {
    HttpRequest request = HttpRequest.newBuilder(uri).timeout(engine.firmware.whole()).build();
    CompletableFuture<HttpResponse<byte[]>> response =
        engine.http.sendAsync(request, info -> new BoundedBody(engine.firmware.bytes()));
    download = response;
    response.whenComplete((answer, error) -> downloaded(mine, answer, error));
    engine.after(engine.firmware.whole(), () -> response.cancel(true));
  }

  private void downloaded(int mine, HttpResponse<byte[]> answer, Throwable error) {
    synchronized (lock()) {
      if (mine != attempt) {
        return;
      }
      if (error != null) {
        show(IDLE, resultOf(error));
      } else if (answer.statusCode() != 200) {
        show(IDLE, INVALID_URI);
      } else {
        take(answer.body());
      }
    }
  }

  private static long resultOf(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof BoundedBody.TooLarge) {
        return NO_SPACE;
      } else if (cause instanceof UnknownHostException
          || cause instanceof UnresolvedAddressException) {
        return INVALID_URI;
      }
    }
    return CONNECTION_LOST;
  }

  private void take(byte[] bytes) {
    if (bytes.length == 0) {
      show(IDLE, UNSUPPORTED_TYPE);
      return;
    } else if (bytes.length > engine.firmware.bytes()) {
      show(IDLE, NO_SPACE);
      return;
    }
    FirmwarePackage taken;
    try {
      taken = FirmwarePackage.parse(bytes);
    } catch (NumberFormatException e) {
      show(IDLE, UNSUPPORTED_TYPE);
      return;
    }
    if (!taken.intact()) {
      show(IDLE, NOT_INTACT);
      return;
    }
    ready = taken;
    show(DOWNLOADED, INITIAL);
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != UPDATE) {
      return ExecuteResponse.notFound();
    }
    synchronized (lock()) {
      if ((long) value(STATE) != DOWNLOADED) {
        return ExecuteResponse.methodNotAllowed();
      }
      show(UPDATING, INITIAL);
    }
    engine.after(installTime, this::install);
    return ExecuteResponse.success();
  }

  private void install() {
    String version;
    synchronized (lock()) {
      if (ready.installResult() != SUCCESS) {
        show(DOWNLOADED, ready.installResult());
        return;
      }
      version = ready.version();
      Map<Integer, Object> done = new HashMap<>();
      done.put(NAME, ready.name());
      done.put(VERSION, version);
      done.put(STATE, IDLE);
      done.put(RESULT, SUCCESS);
      ready = null;
      change(done);
    }
    installed.accept(version);
  }

  /** Only what changes is notified: a repeated state would look like a new one. */
  private void show(long state, long result) {
    Map<Integer, Object> changed = new HashMap<>();
    if ((long) value(STATE) != state) {
      changed.put(STATE, state);
    }
    if ((long) value(RESULT) != result) {
      changed.put(RESULT, result);
    }
    if (!changed.isEmpty()) {
      change(changed);
    }
  }

  @Override
  List<Integer> executable() {
    return List.of(PACKAGE, UPDATE);
  }
}
