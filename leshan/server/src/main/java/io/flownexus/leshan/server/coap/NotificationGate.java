package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.Metrics;
import io.flownexus.leshan.server.webhook.Spool;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.interceptors.MessageInterceptor;

/**
 * Drops notifications unacknowledged while the spool is full, so that devices send them again.
 *
 * <p>It sees a message before {@link Repetitions} does: a retransmission is looked at anew.
 */
final class NotificationGate implements MessageInterceptor {

  private final Spool spool;
  private final LongAdder refused;

  NotificationGate(Spool spool, Metrics metrics) {
    this.spool = spool;
    refused =
        metrics.counter("refused_total", "what=\"notification\"", "Refused, the spool is full.");
  }

  @Override
  public void receiveResponse(Response response) {
    // A piggybacked response (ACK) answers an observe request of ours; all others are notifications
    // or separate responses, which come again alike.
    if (response.getOptions().hasObserve()
        && response.getType() != Type.ACK
        && !spool.accepting()) {
      refused.increment();
      response.setCanceled(true);
    }
  }

  @Override
  public void sendRequest(Request request) {}

  @Override
  public void sendResponse(Response response) {}

  @Override
  public void sendEmptyMessage(EmptyMessage message) {}

  @Override
  public void receiveRequest(Request request) {}

  @Override
  public void receiveEmptyMessage(EmptyMessage message) {}
}
