package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.webhook.Intake;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.Spool;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.network.stack.ReliabilityLayer;
import org.eclipse.californium.elements.config.Configuration;

/**
 * Acknowledges a confirmable notification, and answers a request, when what it brought is safe.
 *
 * <p>What cannot be kept is not acknowledged (its retransmission is looked at anew) or answered
 * 5.03. The thread goes on meanwhile; another one sends the late answer.
 */
final class CommitLayer extends ReliabilityLayer {

  private final Spool spool;
  private final Deduplicator deduplicator;
  private final Registered registered;

  CommitLayer(Configuration config, Spool spool, Deduplicator deduplicator, Registered registered) {
    super(config);
    this.spool = spool;
    this.deduplicator = deduplicator;
    this.registered = registered;
  }

  @Override
  public void receiveResponse(Exchange exchange, Response response) {
    if (exchange.isNotification() && response.getType() == Type.ACK) {
      // The answer to an observe once more, since that was sent again: its request has ended, and
      // Californium takes it for a notification, which is never an ACK (RFC 7641, 4.5).
      response.setCanceled(true);
      return;
    }
    if (exchange.isNotification()
        && !registered.isAt(response.getSourceContext(), exchange.getRequest())) {
      response.setCanceled(true); // not answered at all: it comes again after the device's update
      return;
    }
    if (!waits(exchange, response)) {
      super.receiveResponse(exchange, response);
      return;
    }
    MessageId id = MessageId.of(response);
    if (spool.knows(id)) {
      exchange.setCurrentResponse(response);
      acknowledge(exchange, response, null);
      return;
    }
    Intake.deliver(
        id,
        () -> super.receiveResponse(exchange, response),
        error -> acknowledge(exchange, response, error));
  }

  @Override
  protected boolean processResponse(Exchange exchange, Response response) {
    if (!waits(exchange, response)) {
      return super.processResponse(exchange, response);
    }
    exchange.setRetransmissionHandle(null);
    exchange.getCurrentRequest().setAcknowledged(true);
    exchange.setCurrentResponse(response);
    return true;
  }

  @Override
  public void receiveRequest(Exchange exchange, Request request) {
    Intake.deliver(
        MessageId.of(request), () -> super.receiveRequest(exchange, request), error -> {});
  }

  @Override
  public void sendResponse(Exchange exchange, Response response) {
    if (!Intake.hold(error -> exchange.execute(() -> answer(exchange, response, error)))) {
      super.sendResponse(exchange, response);
    }
  }

  private void answer(Exchange exchange, Response response, Throwable error) {
    if (error == null) {
      super.sendResponse(exchange, response);
    } else {
      Response refusal = new Response(ResponseCode.SERVICE_UNAVAILABLE);
      refusal.setDestinationContext(response.getDestinationContext());
      super.sendResponse(exchange, refusal);
    }
  }

  // An empty message changes nothing of its exchange, so that any thread may send it: with a hop to
  // the exchange's own one, every notification costs another switch of threads.
  private void acknowledge(Exchange exchange, Response response, Throwable error) {
    if (error == null) {
      response.setAcknowledged(true);
      sendEmptyMessage(exchange, EmptyMessage.newACK(response));
    } else {
      deduplicator.forget(response);
    }
  }

  private static boolean waits(Exchange exchange, Response response) {
    return response.getType() == Type.CON
        && exchange.isNotification()
        && !exchange.getRequest().isCanceled();
  }
}
