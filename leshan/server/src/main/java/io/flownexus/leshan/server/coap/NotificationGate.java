package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.webhook.Spool;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Response;

/**
 * Drops notifications unacknowledged while the spool is full, so that devices send them again.
 *
 * <p>It sees a message before {@link Deduplicator} does: a retransmission is looked at anew.
 */
final class NotificationGate extends InterceptorAdapter {

  private final Spool spool;
  private final CounterDataPoint refused;

  NotificationGate(Spool spool, Metrics metrics) {
    this.spool = spool;
    refused = metrics.refusedMessages("notification");
  }

  @Override
  public void receiveResponse(Response response) {
    // A piggybacked response (ACK) answers an observe request of ours; all others are notifications
    // or separate responses, which come again alike.
    if (response.getOptions().hasObserve()
        && response.getType() != Type.ACK
        && !spool.accepting()) {
      refused.inc();
      response.setCanceled(true);
    }
  }
}
