package io.flownexus.leshan.simulator;

import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.channels.UnresolvedAddressException;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** Downloads a firmware package by HTTP, within the limits; cancelled, it tells nobody. */
final class FirmwareDownload implements Download {
  private static final int OK = 200;
  private static final int PARTIAL = 206;
  private static final int MISSING = 404;

  private final DeviceContext context;
  private final URI uri;
  private final boolean resumes;
  private final Consumer<byte[]> onPackage;
  private final Consumer<Failure> onFailure;
  private CompletableFuture<HttpResponse<byte[]>> response;
  private boolean cancelled;

  /**
   * Begin; one of the two is told the end, on the device's executor. The fault may cut the
   * connection at half, and have it go on.
   */
  FirmwareDownload(
      DeviceContext context,
      URI uri,
      FirmwareFault fault,
      Consumer<byte[]> onPackage,
      Consumer<Failure> onFailure) {
    this.context = context;
    this.uri = uri;
    this.resumes = fault == FirmwareFault.RESUMES;
    this.onPackage = onPackage;
    this.onFailure = onFailure;
    request(new byte[0], fault.cutsDownload());
    Engine engine = context.engine();
    engine.after(engine.firmware.whole(), () -> response.cancel(true));
  }

  private void request(byte[] sofar, boolean cut) {
    Engine engine = context.engine();
    HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(engine.firmware.whole());
    if (sofar.length > 0) {
      request.header("Range", "bytes=" + sofar.length + "-");
    }
    response =
        engine.http.sendAsync(
            request.build(),
            info -> {
              long length = info.headers().firstValueAsLong("content-length").orElse(0);
              return new BoundedBody(engine.firmware.bytes(), cut ? (int) (length / 2) : 0);
            });
    response.whenComplete(
        (answer, error) -> context.executor().execute(() -> ended(sofar, answer, error)));
  }

  private void ended(byte[] sofar, HttpResponse<byte[]> answer, Throwable error) {
    if (cancelled) {
      return;
    } else if (error != null) {
      BoundedBody.Cut cut = cause(error, BoundedBody.Cut.class);
      if (cut != null && resumes) {
        request(cut.bytes(), false);
      } else {
        onFailure.accept(failure(error));
      }
    } else if (answer.statusCode() != (sofar.length > 0 ? PARTIAL : OK)) {
      // As by CoAP: a server that is away for a while is no wrong URI.
      onFailure.accept(
          answer.statusCode() == MISSING ? Failure.NOT_FOUND : Failure.CONNECTION_LOST);
    } else {
      byte[] rest = answer.body();
      byte[] whole = Arrays.copyOf(sofar, sofar.length + rest.length);
      System.arraycopy(rest, 0, whole, sofar.length, rest.length);
      onPackage.accept(whole);
    }
  }

  private static Failure failure(Throwable error) {
    if (cause(error, BoundedBody.TooLarge.class) != null) {
      return Failure.TOO_LARGE;
    } else if (cause(error, UnknownHostException.class) != null
        || cause(error, UnresolvedAddressException.class) != null) {
      return Failure.NOT_FOUND;
    }
    return Failure.CONNECTION_LOST;
  }

  private static <T extends Throwable> T cause(Throwable error, Class<T> wanted) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (wanted.isInstance(cause)) {
        return wanted.cast(cause);
      }
    }
    return null;
  }

  @Override
  public void cancel() {
    cancelled = true;
    response.cancel(true);
  }
}
