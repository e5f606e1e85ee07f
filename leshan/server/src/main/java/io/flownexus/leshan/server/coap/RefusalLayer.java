package io.flownexus.leshan.server.coap;

import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.network.stack.AbstractLayer;

/** Tells of each request of a device that is answered with an error, whoever gives the answer. */
final class RefusalLayer extends AbstractLayer {

  private final Refusals refusals;

  RefusalLayer(Refusals refusals) {
    this.refusals = refusals;
  }

  @Override
  public void sendResponse(Exchange exchange, Response response) {
    if (!response.isSuccess()) {
      refusals.tell(exchange.getCurrentRequest(), response);
    }
    super.sendResponse(exchange, response);
  }
}
