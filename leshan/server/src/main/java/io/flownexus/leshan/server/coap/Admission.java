package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.presence.Contacts;
import io.flownexus.leshan.server.webhook.Intake;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.request.UplinkDeviceManagementRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.RegisterResponse;
import org.eclipse.leshan.core.response.SendResponse;
import org.eclipse.leshan.core.response.SendableResponse;
import org.eclipse.leshan.core.response.UpdateResponse;
import org.eclipse.leshan.server.profile.ClientProfile;
import org.eclipse.leshan.server.request.UplinkDeviceManagementRequestReceiver;

/** Answers 5.03 to devices while the spool is full, and keeps a Send before it is answered. */
final class Admission implements UplinkDeviceManagementRequestReceiver {

  private static final ResponseCode UNAVAILABLE = new ResponseCode(503, "SERVICE_UNAVAILABLE");
  private static final String REASON = "try again later";

  private final UplinkDeviceManagementRequestReceiver delegate;
  private final Spool spool;
  private final Uplink uplink;
  private final Contacts contacts;
  private final CounterDataPoint refused;

  Admission(
      UplinkDeviceManagementRequestReceiver delegate,
      Spool spool,
      Uplink uplink,
      Contacts contacts,
      Metrics metrics) {
    this.delegate = delegate;
    this.spool = spool;
    this.uplink = uplink;
    this.contacts = contacts;
    refused = metrics.refusedMessages("request");
  }

  @Override
  public <T extends LwM2mResponse> SendableResponse<T> requestReceived(
      LwM2mPeer sender,
      ClientProfile profile,
      UplinkDeviceManagementRequest<T> request,
      EndpointUri uri) {
    // A device that leaves cannot be told to come again: its event is kept beyond the bound.
    if (!(request instanceof DeregisterRequest) && !spool.accepting()) {
      refused.inc();
      return new SendableResponse<>(refusal(request));
    }
    if (request instanceof SendRequest && spool.knows(Intake.message())) {
      return new SendableResponse<>(stored());
    }
    SendableResponse<T> response = delegate.requestReceived(sender, profile, request, uri);
    if (request instanceof SendRequest send && response.getResponse().isSuccess()) {
      uplink.sent(profile.getRegistration(), send);
      contacts.heard(
          profile.getRegistration(),
          sender instanceof IpPeer peer ? peer.getSocketAddress() : null);
    }
    return response;
  }

  @Override
  public void onError(
      LwM2mPeer sender,
      ClientProfile profile,
      Exception exception,
      Class<? extends UplinkDeviceManagementRequest<? extends LwM2mResponse>> requestType,
      EndpointUri uri) {
    if (requestType == SendRequest.class && profile != null && spool.accepting()) {
      uplink.unreadable(profile.getRegistration(), exception);
    }
    delegate.onError(sender, profile, exception, requestType, uri);
  }

  @SuppressWarnings("unchecked") // only called for a Send
  private static <T extends LwM2mResponse> T stored() {
    return (T) SendResponse.success();
  }

  @SuppressWarnings("unchecked") // the request's type decides its response's type
  private static <T extends LwM2mResponse> T refusal(UplinkDeviceManagementRequest<T> request) {
    if (request instanceof RegisterRequest) {
      return (T) new RegisterResponse(UNAVAILABLE, null, REASON);
    }
    if (request instanceof SendRequest) {
      return (T) new SendResponse(UNAVAILABLE, REASON);
    }
    return (T) new UpdateResponse(UNAVAILABLE, REASON);
  }
}
