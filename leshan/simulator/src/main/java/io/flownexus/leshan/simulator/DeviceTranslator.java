package io.flownexus.leshan.simulator;

import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.leshan.client.endpoint.ClientEndpointToolbox;
import org.eclipse.leshan.client.notification.NotificationManager;
import org.eclipse.leshan.client.request.DownlinkRequestReceiver;
import org.eclipse.leshan.client.resource.LwM2mObjectEnabler;
import org.eclipse.leshan.client.resource.LwM2mObjectTree;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.SendResponse;
import org.eclipse.leshan.transport.californium.client.endpoint.ClientCoapMessageTranslator;
import org.eclipse.leshan.transport.californium.client.endpoint.ServerIdentityExtractor;
import org.eclipse.leshan.transport.californium.identity.IdentityHandlerProvider;

/** Makes CoAP resources of a device's objects, whose notifications are followed. */
final class DeviceTranslator extends ClientCoapMessageTranslator {
  private final Notifications notifications;

  DeviceTranslator(Notifications notifications) {
    this.notifications = notifications;
  }

  /** Keep with a Send's response what Leshan leaves out: the CoAP message, for its id. */
  @Override
  public <T extends LwM2mResponse> T createLwM2mResponse(
      LwM2mServer from,
      UplinkRequest<T> request,
      Request coapRequest,
      Response coapResponse,
      ClientEndpointToolbox toolbox) {
    T response = super.createLwM2mResponse(from, request, coapRequest, coapResponse, toolbox);
    if (response instanceof SendResponse sent) {
      @SuppressWarnings("unchecked")
      T whole = (T) new SendResponse(sent.getCode(), sent.getErrorMessage(), coapRequest);
      return whole;
    }
    return response;
  }

  @Override
  public Resource createRootResource(
      CoapServer coap,
      IdentityHandlerProvider handlers,
      ServerIdentityExtractor servers,
      DownlinkRequestReceiver receiver,
      ClientEndpointToolbox toolbox,
      LwM2mObjectTree tree) {
    NotifyingRoot root =
        new NotifyingRoot(handlers, servers, coap, receiver, toolbox, notifications);
    tree.addListener(new CompositeListener(root));
    return root;
  }

  @Override
  public CoapResource createObjectResource(
      LwM2mObjectEnabler enabler,
      IdentityHandlerProvider handlers,
      ServerIdentityExtractor servers,
      DownlinkRequestReceiver receiver,
      NotificationManager manager,
      ClientEndpointToolbox toolbox) {
    NotifyingObject object =
        new NotifyingObject(
            enabler.getId(), handlers, servers, receiver, manager, toolbox, notifications);
    enabler.addListener(object);
    return object;
  }
}
