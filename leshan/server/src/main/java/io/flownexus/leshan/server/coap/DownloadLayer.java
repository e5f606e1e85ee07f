package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.firmware.PackageSource;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MediaTypeRegistry;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.network.stack.AbstractLayer;
import org.eclipse.californium.elements.EndpointContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Serves firmware packages block by block (RFC 7959, 2.4): GET /fw/&lt;token&gt;.
 *
 * <p>A block is read by its offset and answered by itself. Nothing is kept of the exchange, so that
 * a device may ask for any block, again, and after a restart of this server. The layers above never
 * see these requests: they would keep a whole body.
 */
final class DownloadLayer extends AbstractLayer {

  private static final Logger LOG = LoggerFactory.getLogger(DownloadLayer.class);
  private static final String PACKAGES = "fw";
  private static final int PATH_SEGMENTS = 2;
  private static final int LARGEST_EXPONENT = 6; // 1,024 bytes
  private static final int RETRY_S = 5;

  private final PackageSource packages;
  private final Registered registered;
  private final Deduplicator deduplicator;

  /** Serve packages; null: nobody has any. */
  DownloadLayer(PackageSource packages, Registered registered, Deduplicator deduplicator) {
    this.packages = packages;
    this.registered = registered;
    this.deduplicator = deduplicator;
  }

  @Override
  public void receiveRequest(Exchange exchange, Request request) {
    List<String> path = RequestCheck.path(request);
    if (packages == null
        || request.getCode() != Code.GET
        || path.size() != PATH_SEGMENTS
        || !path.get(0).equals(PACKAGES)) {
      super.receiveRequest(exchange, request);
      return;
    }
    BlockOption asked = request.getOptions().getBlock2();
    int exponent = asked == null ? LARGEST_EXPONENT : Math.min(asked.getSzx(), LARGEST_EXPONENT);
    int number = asked == null ? 0 : asked.getNum();
    int size = BlockOption.szx2Size(exponent);
    EndpointContext peer = request.getSourceContext();
    PackageSource.Asker asker =
        new PackageSource.Asker(
            peer.getPeerAddress(), registered.endpoint(peer), registered.has(peer));
    packages
        .read(path.get(1), asker, (long) number * size, size)
        .whenComplete(
            (part, error) -> {
              if (error instanceof PackageSource.NoTurn) {
                deduplicator.forget(request); // not answered at all: a device sends it again
                return;
              }
              Response response =
                  error == null ? block(part, exponent, number, size) : refusal(error);
              exchange.execute(() -> respond(exchange, request, response));
            });
  }

  private static Response block(PackageSource.Part part, int exponent, int number, int size) {
    Response response = new Response(ResponseCode.CONTENT);
    response.setPayload(part.bytes());
    boolean more = (long) number * size + part.bytes().length < part.size();
    response
        .getOptions()
        .setContentFormat(MediaTypeRegistry.APPLICATION_OCTET_STREAM)
        .setBlock2(exponent, more, number)
        .setSize2(Math.toIntExact(part.size()))
        .addETag(part.etag());
    return response;
  }

  private static Response refusal(Throwable error) {
    Throwable cause = error instanceof CompletionException ? error.getCause() : error;
    if (cause instanceof PackageSource.NoPackage) {
      return refusal(ResponseCode.NOT_FOUND, "no package, or not any more");
    } else if (cause instanceof PackageSource.NoPart) {
      return refusal(ResponseCode.BAD_REQUEST, "the package ends before this block");
    }
    LOG.debug("no block of a package: {}", String.valueOf(cause));
    Response response = refusal(ResponseCode.SERVICE_UNAVAILABLE, "try again later");
    response.getOptions().setMaxAge(RETRY_S);
    return response;
  }

  private static Response refusal(ResponseCode code, String reason) {
    Response response = new Response(code);
    response.setPayload(reason);
    response.getOptions().setContentFormat(MediaTypeRegistry.TEXT_PLAIN);
    return response;
  }

  private void respond(Exchange exchange, Request request, Response response) {
    response.setDestinationContext(request.getSourceContext());
    super.sendResponse(exchange, response);
  }
}
