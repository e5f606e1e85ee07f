package io.flownexus.leshan.server.coap;

import java.net.InetSocketAddress;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.network.stack.AbstractLayer;

/**
 * Puts block-wise requests together (RFC 7959, 2.5) in place of Californium's layer, which
 * allocates the largest body there may be for each first block.
 *
 * <p>Who is not registered may send a registration, and no more than that takes, in small bounds of
 * their own. The layer above sees whole requests.
 */
final class UploadLayer extends AbstractLayer {

  private static final int MAX_BODY = 1 << 20;
  private static final long MAX_BYTES = 64L << 20;
  private static final int MAX_BODY_OF_UNREGISTERED = 1 << 16;
  private static final long MAX_BYTES_OF_UNREGISTERED = 8L << 20;

  private final Registered registered;
  private final Uploads devices = new Uploads(MAX_BODY, MAX_BYTES);
  private final Uploads unregistered =
      new Uploads(MAX_BODY_OF_UNREGISTERED, MAX_BYTES_OF_UNREGISTERED);

  UploadLayer(Registered registered) {
    this.registered = registered;
  }

  @Override
  public void receiveRequest(Exchange exchange, Request request) {
    // What the server answers is small; the layer above would keep it to be fetched in pieces.
    request.getOptions().removeBlock2();
    if (!request.getOptions().hasBlock1()) {
      super.receiveRequest(exchange, request);
      return;
    }
    Uploads uploads = registered.has(request.getSourceContext()) ? devices : unregistered;
    InetSocketAddress peer = request.getSourceContext().getPeerAddress();
    try {
      Uploads.Whole whole = uploads.take(peer, request, System.nanoTime());
      if (whole == null) {
        Response response = new Response(ResponseCode.CONTINUE);
        response.getOptions().setBlock1(request.getOptions().getBlock1());
        respond(exchange, request, response);
      } else {
        exchange.setBlock1ToAck(request.getOptions().getBlock1());
        Request assembled = assemble(whole, request);
        exchange.setRequest(assembled);
        super.receiveRequest(exchange, assembled);
      }
    } catch (Uploads.Refusal refusal) {
      Response response = new Response(refusal.code());
      if (refusal.code() == ResponseCode.REQUEST_ENTITY_TOO_LARGE) {
        response.getOptions().setSize1(uploads.maxBody());
      }
      response.setPayload(refusal.getMessage());
      respond(exchange, request, response);
    }
  }

  // The options of the first block; the id and the token of the last, which the response answers.
  private static Request assemble(Uploads.Whole whole, Request last) {
    Request request = new Request(last.getCode());
    request.setSourceContext(last.getSourceContext());
    request.setLocalAddress(last.getLocalAddress());
    request.setType(last.getType());
    request.setMID(last.getMID());
    request.setToken(last.getToken());
    request.setScheme(last.getScheme());
    request.setNanoTimestamp(last.getNanoTimestamp());
    request.setOptions(whole.first().getOptions());
    request.getOptions().removeBlock1();
    if (whole.body().length > 0) {
      if (!request.isIntendedPayload()) {
        request.setUnintendedPayload();
      }
      request.setPayload(whole.body());
    }
    return request;
  }

  private void respond(Exchange exchange, Request request, Response response) {
    response.setDestinationContext(request.getSourceContext());
    super.sendResponse(exchange, response);
  }
}
