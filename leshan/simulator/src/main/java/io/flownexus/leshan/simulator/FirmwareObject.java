package io.flownexus.leshan.simulator;

import java.net.URI;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/** Simulates object 5: takes or downloads a firmware package and installs it. */
final class FirmwareObject extends SimulatedObject {
  static final String FACTORY_VERSION = "1.0.0";

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
  private static final long DEFERRED = 11;

  private static final Duration INSTALL_TIME = Duration.ofSeconds(2);
  private static final Duration DEFER_TIME = Duration.ofSeconds(4);

  private final ObjectHost host;
  private FirmwarePackage ready;
  private Download download;
  private FirmwareFault fault;

  FirmwareObject(ObjectHost host) {
    this.host = host;
    fault = host.context().spec().firmware();
    put(URI_ID, "");
    put(STATE, IDLE);
    put(RESULT, INITIAL);
    put(NAME, "firmware");
    put(VERSION, FACTORY_VERSION);
    if (fault != FirmwareFault.NO_PROTOCOL && transfer() != FirmwareTransfer.PUSH) {
      put(8, protocols());
    }
    put(9, transfer() == FirmwareTransfer.PUSH ? 1L : 2L);
  }

  private FirmwareTransfer transfer() {
    return host.context().spec().transfer();
  }

  /** By CoAP it downloads as it talks to its server: from the same socket. */
  private Map<Integer, Object> protocols() {
    if (transfer() == FirmwareTransfer.HTTP) {
      return Map.of(0, 2L, 1, 3L);
    }
    return Map.of(0, host.context().fleet().scheme().equals("coap") ? 0L : 1L);
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
    put(URI_ID, uri);
    URI target;
    try {
      target = URI.create(fault == FirmwareFault.MISREADS ? uri + "x" : uri);
    } catch (IllegalArgumentException e) {
      return refuse(INVALID_URI);
    }
    String scheme = target.getScheme();
    if (scheme == null || target.isOpaque() || target.getHost() == null) {
      return refuse(INVALID_URI);
    }
    boolean byCoap = scheme.equals(host.context().fleet().scheme());
    boolean byHttp = scheme.equals("http") || scheme.equals("https");
    boolean takes =
        switch (transfer()) {
          case HTTP -> byHttp;
          case COAP -> byCoap;
          case PUSH -> false;
        };
    if (fault == FirmwareFault.NO_PROTOCOL || !takes) {
      return refuse(UNSUPPORTED_PROTOCOL);
    }
    show(DOWNLOADING, INITIAL);
    download =
        byCoap
            ? new CoapDownload(host.context(), host.coap(), target, this::take, this::fail)
            : new FirmwareDownload(host.context(), target, fault, this::take, this::fail);
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
    take(bytes);
    return WriteResponse.success();
  }

  private WriteResponse reset() {
    if ((long) value(STATE) == UPDATING) {
      return WriteResponse.methodNotAllowed();
    }
    ready = null;
    if (download != null) {
      download.cancel();
      download = null;
    }
    put(URI_ID, "");
    show(IDLE, INITIAL);
    return WriteResponse.success();
  }

  private void fail(Download.Failure failure) {
    download = null;
    if (fault.cutsDownload() && passed() == FirmwareFault.REBOOTS_DOWNLOADING) {
      forget();
      host.reboot();
      return;
    }
    show(
        IDLE,
        switch (failure) {
          case CONNECTION_LOST -> CONNECTION_LOST;
          case TOO_LARGE -> NO_SPACE;
          case NOT_FOUND -> INVALID_URI;
        });
  }

  private void take(byte[] bytes) {
    download = null;
    if (bytes.length == 0) {
      show(IDLE, UNSUPPORTED_TYPE);
      return;
    } else if (bytes.length > host.context().engine().firmware.bytes()) {
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

  /** Return what goes wrong now; what passes does so for the last time. */
  private FirmwareFault passed() {
    FirmwareFault now = fault;
    if (now.passes()) {
      fault = FirmwareFault.NONE;
    }
    return now;
  }

  /** Be as after a start, without telling: nobody observes a device that starts. */
  private void forget() {
    ready = null;
    put(STATE, IDLE);
    put(RESULT, INITIAL);
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != UPDATE) {
      return ExecuteResponse.notFound();
    }
    if ((long) value(STATE) != DOWNLOADED) {
      return ExecuteResponse.methodNotAllowed();
    }
    if (fault == FirmwareFault.DEFERS) {
      passed();
      show(DOWNLOADED, DEFERRED);
      host.context().after(DEFER_TIME, this::begin);
    } else {
      begin();
    }
    return ExecuteResponse.success();
  }

  private void begin() {
    show(UPDATING, INITIAL);
    host.context().after(INSTALL_TIME, this::install);
  }

  private void install() {
    switch (passed()) {
      case REBOOTS_INSTALLING -> {
        put(STATE, DOWNLOADED);
        host.reboot();
      }
      case ROLLS_BACK -> {
        forget();
        host.reboot();
      }
      case NEVER_RETURNS -> host.turnOff();
      case FORGETS -> {
        String version = ready.version();
        put(NAME, ready.name());
        put(VERSION, version);
        forget();
        host.installed(version);
      }
      default -> finish();
    }
  }

  private void finish() {
    if (ready.installResult() != SUCCESS) {
      show(DOWNLOADED, ready.installResult());
      return;
    }
    String version = ready.version();
    Map<Integer, Object> done = new HashMap<>();
    done.put(NAME, ready.name());
    done.put(VERSION, version);
    done.put(STATE, IDLE);
    done.put(RESULT, SUCCESS);
    ready = null;
    change(done);
    host.installed(version);
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
