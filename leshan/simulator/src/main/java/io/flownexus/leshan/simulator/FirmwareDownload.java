package io.flownexus.leshan.simulator;

import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.channels.UnresolvedAddressException;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** Downloads a firmware package by HTTP, within the limits; cancelled, it tells nobody. */
final class FirmwareDownload {
  private final CompletableFuture<HttpResponse<byte[]>> response;
  private boolean cancelled;

  /** Says why there is no package. */
  enum Failure {
    CONNECTION_LOST,
    TOO_LARGE,
    NOT_FOUND
  }

  /** Begin; one of the two is told the end, on the device's executor. */
  FirmwareDownload(
      DeviceContext context, URI uri, Consumer<byte[]> onPackage, Consumer<Failure> onFailure) {
    Engine engine = context.engine();
    HttpRequest request = HttpRequest.newBuilder(uri).timeout(engine.firmware.whole()).build();
    response = engine.http.sendAsync(request, info -> new BoundedBody(engine.firmware.bytes()));
    response.whenComplete(
        (answer, error) ->
            context
                .executor()
                .execute(
                    () -> {
                      if (cancelled) {
                        return;
                      } else if (error != null) {
                        onFailure.accept(failure(error));
                      } else if (answer.statusCode() != 200) {
                        onFailure.accept(Failure.NOT_FOUND);
                      } else {
                        onPackage.accept(answer.body());
                      }
                    }));
    engine.after(engine.firmware.whole(), () -> response.cancel(true));
  }

  private static Failure failure(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof BoundedBody.TooLarge) {
        return Failure.TOO_LARGE;
      } else if (cause instanceof UnknownHostException
          || cause instanceof UnresolvedAddressException) {
        return Failure.NOT_FOUND;
      }
    }
    return Failure.CONNECTION_LOST;
  }

  void cancel() {
    cancelled = true;
    response.cancel(true);
  }
}
