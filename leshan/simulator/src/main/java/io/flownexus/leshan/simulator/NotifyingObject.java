package io.flownexus.leshan.simulator;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.eclipse.californium.core.CoapExchange;
import org.eclipse.californium.core.coap.CoAP;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.observe.ObserveRelation;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.NotificationSender;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.transport.californium.ResponseCodeUtil;
import org.eclipse.leshan.transport.californium.client.endpoint.ServerIdentityExtractor;
import org.eclipse.leshan.transport.californium.client.object.ObjectResource;
import org.eclipse.leshan.transport.californium.identity.IdentityHandlerProvider;

/** Serves an object over CoAP; its notifications are confirmable and followed. */
final class NotifyingObject extends ObjectResource {
  private final Notifications notifications;
  private final Map<String, ObserveRelation> observed = new ConcurrentHashMap<>();

  NotifyingObject(
      int objectId,
      IdentityHandlerProvider identities,
      ServerIdentityExtractor servers,
      DownlinkRequestReceiver receiver,
      NotificationManager manager,
      ClientEndpointToolbox toolbox,
      Notifications notifications) {
    super(objectId, identities, servers, receiver, manager, toolbox);
    this.notifications = notifications;
    setObserveType(CoAP.Type.CON);
  }

  @Override
  public void changed(Predicate<ObserveRelation> filter) {
    if (getObserverCount() > 0) {
      notifications.changed(() -> notifyObserverRelations(filter));
    }
  }

  /** Let a new observation replace the one of the same path: a server has one of each. */
  @Override
  public void addObserveRelation(ObserveRelation relation) {
    super.addObserveRelation(relation);
    ObserveRelation previous = observed.put(pathOf(relation), relation);
    if (previous != null && previous != relation) {
      previous.cancel();
    }
  }

  @Override
  public void removeObserveRelation(ObserveRelation relation) {
    super.removeObserveRelation(relation);
    observed.remove(pathOf(relation), relation);
    notifications.forget(relation);
  }

  private static String pathOf(ObserveRelation relation) {
    return relation.getExchange().getRequest().getOptions().getUriPathString();
  }

  @Override
  protected NotificationSender createNotificationSender(
      CoapExchange exchange, LwM2mServer server, ObserveRequest request, ContentFormat accepted) {
    return response -> notify(exchange, request, accepted, response);
  }

  private boolean notify(
      CoapExchange exchange,
      ObserveRequest request,
      ContentFormat accepted,
      ObserveResponse response) {
    ObserveRelation relation = exchange.advanced().getRelation();
    if (relation == null || relation.isCanceled()) {
      return false;
    }
    if (response.isFailure()) {
      exchange.respond(
          ResponseCodeUtil.toCoapResponseCode(response.getCode()), response.getErrorMessage());
      return false;
    }
    LwM2mPath path = request.getPath();
    ContentFormat format = getContentFormat(request, accepted);
    Response notification = new Response(CoAP.ResponseCode.CONTENT);
    notification.setPayload(
        toolbox.getEncoder().encode(response.getContent(), format, null, path, toolbox.getModel()));
    notification.getOptions().setContentFormat(format.getCode());
    notifications.follow(relation, notification, Map.of(path, response.getContent()));
    exchange.respond(notification);
    return true;
  }
}
