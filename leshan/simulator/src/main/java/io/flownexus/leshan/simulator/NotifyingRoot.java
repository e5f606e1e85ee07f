package io.flownexus.leshan.simulator;

import java.util.function.Predicate;
import org.eclipse.californium.core.CoapExchange;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.coap.CoAP;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.observe.ObserveRelation;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.transport.californium.client.RootResource;
import org.eclipse.leshan.transport.californium.client.endpoint.ServerIdentityExtractor;
import org.eclipse.leshan.transport.californium.identity.IdentityHandlerProvider;

/** Serves composite requests; notifications of a composite are confirmable and followed. */
final class NotifyingRoot extends RootResource {
  private final Notifications notifications;

  NotifyingRoot(
      IdentityHandlerProvider identities,
      ServerIdentityExtractor servers,
      CoapServer server,
      DownlinkRequestReceiver receiver,
      ClientEndpointToolbox toolbox,
      Notifications notifications) {
    super(identities, servers, server, receiver, toolbox);
    this.notifications = notifications;
    setObserveType(CoAP.Type.CON);
  }

  @Override
  public void changed(Predicate<ObserveRelation> filter) {
    if (getObserverCount() > 0) {
      notifications.changed(() -> notifyObserverRelations(filter));
    }
  }

  @Override
  public void removeObserveRelation(ObserveRelation relation) {
    super.removeObserveRelation(relation);
    notifications.forget(relation);
  }

  @Override
  public void handleFETCH(CoapExchange exchange) {
    ObserveRelation relation = exchange.advanced().getRelation();
    boolean notifying = relation != null && relation.isEstablished();
    super.handleFETCH(notifying ? new Followed(exchange) : exchange);
  }

  private final class Followed extends CoapExchange {
    Followed(CoapExchange exchange) {
      super(exchange.advanced());
    }

    @Override
    public void respond(Response response) {
      if (response.isSuccess()) {
        ContentFormat format = ContentFormat.fromCode(response.getOptions().getContentFormat());
        notifications.follow(
            advanced().getRelation(),
            response,
            toolbox
                .getDecoder()
                .decodeNodes(response.getPayload(), format, null, null, toolbox.getModel()));
      }
      super.respond(response);
    }
  }
}
