package io.flownexus.leshan.server.bootstrap;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MediaTypeRegistry;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.Endpoint;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.leshan.core.LwM2mId;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.link.lwm2m.DefaultLwM2mLinkParser;
import org.eclipse.leshan.core.link.lwm2m.LwM2mLink;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributes;
import org.eclipse.leshan.core.request.ContentFormat;

/**
 * Sends one request after the other to a device (LwM2M 1.1, 6.1.7): where is its bootstrap server,
 * delete its other accounts, write, finish. The first that is not done ends it.
 */
final class Session {

  private static final DefaultLwM2mLinkParser LINKS = new DefaultLwM2mLinkParser();
  private static final int LONGEST_DETAIL = 200;

  /** A request, what it is called, and which answers besides success are as good. */
  private record Step(String name, Request request, ResponseCode asGood) {}

  private final Endpoint endpoint;
  private final EndpointContext device;
  private final ContentFormat format;
  private final List<Write> writes;
  private final Function<Write, byte[]> encoder;
  private final Consumer<String> end;
  private final Deque<Step> steps = new ArrayDeque<>();
  private Request current;
  private boolean over;

  /**
   * Make a session that has not begun.
   *
   * @param end gets why it failed, or null when the device has acknowledged the end
   */
  Session(
      Endpoint endpoint,
      EndpointContext device,
      ContentFormat format,
      List<Write> writes,
      Function<Write, byte[]> encoder,
      Consumer<String> end) {
    this.endpoint = endpoint;
    this.device = device;
    this.format = format;
    this.writes = writes;
    this.encoder = encoder;
    this.end = end;
  }

  synchronized void begin() {
    Request discover = request(Code.GET, "");
    discover.getOptions().setAccept(MediaTypeRegistry.APPLICATION_LINK_FORMAT);
    send(discover, "discover", response -> prepare(bootstrapServer(response)));
  }

  /** End without a word: another session of the device has begun. */
  synchronized void cancel() {
    over = true;
    if (current != null) {
      current.cancel();
    }
  }

  // A device of LwM2M 1.0 may not know the question: most have it at 0.
  private static int bootstrapServer(Response response) {
    if (response.isSuccess()) {
      try {
        for (LwM2mLink link : LINKS.parseLwM2mLinkFromCoreLinkFormat(response.getPayload(), null)) {
          if (link.getPath().isObjectInstance()
              && link.getPath().getObjectId() == LwM2mId.SECURITY
              && !link.getAttributes().contains(LwM2mAttributes.SHORT_SERVER_ID)) {
            return link.getPath().getObjectInstanceId();
          }
        }
      } catch (LinkParseException e) {
        return 0;
      }
    }
    return 0;
  }

  private void prepare(int bootstrapServer) {
    for (int object : new int[] {LwM2mId.SECURITY, LwM2mId.SERVER}) {
      String path = Integer.toString(object);
      steps.add(new Step("delete of /" + path, request(Code.DELETE, path), ResponseCode.NOT_FOUND));
    }
    for (Write each : writes) {
      Write write = each.beside(bootstrapServer);
      Request put = request(Code.PUT, write.path().toString().substring(1));
      put.getOptions().setContentFormat(format.getCode());
      put.setPayload(encoder.apply(write));
      steps.add(new Step("write of " + write.path(), put, null));
    }
    steps.add(new Step("Bootstrap-Finish", request(Code.POST, "bs"), null));
    next();
  }

  private void next() {
    Step step = steps.poll();
    if (step == null) {
      finish(null);
      return;
    }
    send(
        step.request(),
        step.name(),
        response -> {
          if (response.isSuccess() || response.getCode() == step.asGood()) {
            next();
          } else {
            finish(refusal(step.name(), response));
          }
        });
  }

  private static String refusal(String name, Response response) {
    String detail =
        new String(response.getPayload(), StandardCharsets.UTF_8).replaceAll("\\p{Cntrl}", "?");
    return "%s was answered %s %s"
        .formatted(
            name,
            response.getCode(),
            detail.substring(0, Math.min(detail.length(), LONGEST_DETAIL)))
        .strip();
  }

  private Request request(Code code, String path) {
    Request request = new Request(code);
    request.setConfirmable(true);
    request.setDestinationContext(device);
    if (!path.isEmpty()) {
      request.getOptions().setUriPath(path);
    }
    return request;
  }

  private void send(Request request, String name, Consumer<Response> then) {
    current = request;
    request.addMessageObserver(
        new MessageObserverAdapter() {
          @Override
          public void onResponse(Response response) {
            answered(then, response);
          }

          @Override
          public void onTimeout() {
            fail(name + " was not answered");
          }

          @Override
          public void onReject() {
            fail(name + " was rejected by a reset");
          }

          @Override
          public void onCancel() {
            fail(name + " was cancelled");
          }

          @Override
          public void onSendError(Throwable error) {
            fail(name + " could not be sent: " + error.getMessage());
          }
        });
    endpoint.sendRequest(request);
  }

  private synchronized void answered(Consumer<Response> then, Response response) {
    if (over) {
      return;
    }
    try {
      then.accept(response);
    } catch (RuntimeException e) { // of a profile's value that is not as its object model says
      finish(String.valueOf(e.getMessage()));
    }
  }

  private synchronized void fail(String why) {
    finish(why);
  }

  private void finish(String failure) {
    if (!over) {
      over = true;
      end.accept(failure);
    }
  }
}
