package io.flownexus.leshan.simulator;

import java.net.URI;
import java.util.function.Consumer;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Endpoint;

/** Downloads a firmware package by CoAP in blocks of 256 bytes, from the device's own socket. */
final class CoapDownload implements Download {
  private static final int EXPONENT = 4; // 256 bytes (RFC 7959, 2.2)

  private final Request request = Request.newGet();
  private boolean cancelled;

  /** Begin; one of the two is told the end, on the device's executor. */
  CoapDownload(
      DeviceContext context,
      Endpoint endpoint,
      URI uri,
      Consumer<byte[]> onPackage,
      Consumer<Failure> onFailure) {
    request.setURI(uri);
    request.getOptions().setBlock2(EXPONENT, false, 0);
    request.addMessageObserver(
        new MessageObserverAdapter() {
          @Override
          public void onResponse(Response response) {
            tell(
                () -> {
                  if (response.getCode() == ResponseCode.CONTENT) {
                    onPackage.accept(response.getPayload());
                  } else {
                    onFailure.accept(
                        response.getCode() == ResponseCode.NOT_FOUND
                            ? Failure.NOT_FOUND
                            : Failure.CONNECTION_LOST);
                  }
                });
          }

          @Override
          protected void failed() {
            tell(() -> onFailure.accept(Failure.CONNECTION_LOST));
          }

          private void tell(Runnable end) {
            context
                .executor()
                .execute(
                    () -> {
                      if (!cancelled) {
                        cancelled = true;
                        end.run();
                      }
                    });
          }
        });
    endpoint.sendRequest(request);
  }

  @Override
  public void cancel() {
    cancelled = true;
    request.cancel();
  }
}
