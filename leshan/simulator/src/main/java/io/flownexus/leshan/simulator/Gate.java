package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.StringOption;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.server.MessageDeliverer;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.leshan.core.ResponseCode;

/**
 * Hands a device's requests on at once, or acknowledges them and hands them on later; answers 5.00
 * itself while the device fails.
 */
final class Gate implements MessageDeliverer {
  private final MessageDeliverer next;
  private final Resource root;
  private final RequestLog requests;
  private final Radio radio;
  private final DeviceContext context;
  private volatile Duration delay;
  private int open;

  Gate(
      MessageDeliverer next,
      Resource root,
      RequestLog requests,
      Radio radio,
      DeviceContext context) {
    this.next = next;
    this.root = root;
    this.requests = requests;
    this.radio = radio;
    this.context = context;
    delay = context.spec().slow();
  }

  /** Answer requests after this long from now on. */
  void delay(Duration delay) {
    this.delay = delay;
  }

  Duration delay() {
    return delay;
  }

  /** Count the requests that wait for their answer. */
  int open() {
    return open;
  }

  @Override
  public void deliverRequest(Exchange exchange) {
    Duration wait = delay;
    if (wait.isZero()) {
      dispatch(exchange);
      return;
    }
    context.executor().execute(() -> open++);
    exchange.sendAccept();
    context
        .engine()
        .after(
            wait,
            () -> {
              context.executor().execute(() -> open--);
              exchange.execute(() -> dispatch(exchange));
            });
  }

  /**
   * Hand a request on in one task of the device, which sets an observation up and answers it: what
   * came between the two could cancel the observation, and it would never be answered.
   */
  private void dispatch(Exchange exchange) {
    context
        .executor()
        .dispatch(
            exchange::execute,
            () -> {
              handOn(exchange);
              radio.answered();
            });
  }

  private void handOn(Exchange exchange) {
    List<StringOption> path = exchange.getRequest().getOptions().getUriPath();
    if (!path.isEmpty() && root.getChild(path.get(0).getStringValue()) == null) {
      requests.add(exchange.getRequest(), ResponseCode.NOT_FOUND);
    } else if (requests.isFailing()) {
      requests.add(exchange.getRequest(), ResponseCode.INTERNAL_SERVER_ERROR);
      Response failure = new Response(CoAP.ResponseCode.INTERNAL_SERVER_ERROR);
      failure.setPayload("simulated failure");
      exchange.sendResponse(failure);
      return;
    }
    next.deliverRequest(exchange);
  }

  @Override
  public void deliverResponse(Exchange exchange, Response response) {
    next.deliverResponse(exchange, response);
  }
}
