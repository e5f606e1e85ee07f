package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.firmware.BlockAnswer;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MessageObserver;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.network.stack.AbstractLayer;

/**
 * Lets a request that is one block of a push, and its answer, pass the layer above, which would
 * hold the whole body: that a block was taken, or was too large, looks there like the end of a
 * write.
 */
final class PushLayer extends AbstractLayer {

  @Override
  public void receiveResponse(Exchange exchange, Response response) {
    for (MessageObserver observer : exchange.getRequest().getMessageObservers()) {
      if (observer instanceof BlockAnswer answer) {
        answer.keep(response);
        super.receiveResponse(exchange, whole(response));
        return;
      }
    }
    super.receiveResponse(exchange, response);
  }

  private static Response whole(Response block) {
    if (block.getCode() != ResponseCode.CONTINUE
        && block.getCode() != ResponseCode.REQUEST_ENTITY_TOO_LARGE) {
      block.getOptions().removeBlock1();
      return block;
    }
    Response taken = new Response(ResponseCode.CHANGED);
    taken.setType(block.getType());
    taken.setMID(block.getMID());
    taken.setToken(block.getToken());
    taken.setSourceContext(block.getSourceContext());
    taken.setLocalAddress(block.getLocalAddress());
    taken.setNanoTimestamp(block.getNanoTimestamp());
    return taken;
  }
}
