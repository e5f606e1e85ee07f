package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.security.DevicePolicy;
import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.security.NewEndpoints;
import java.util.Objects;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.UplinkDeviceManagementRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.RegisterResponse;
import org.eclipse.leshan.core.response.SendableResponse;
import org.eclipse.leshan.server.profile.ClientProfile;
import org.eclipse.leshan.server.request.UplinkDeviceManagementRequestReceiver;

/** Lets devices register whom the policy allows, and only so many that never came before. */
public final class Gatekeeper {

  /** RFC 8516; without Max-Age it means to come again after 60 s. */
  private static final ResponseCode TOO_MANY = new ResponseCode(429, "TOO_MANY_REQUESTS");

  private final DevicePolicy policy;
  private final KnownEndpoints known;
  private final NewEndpoints limit;

  /** Judge by these. */
  public Gatekeeper(DevicePolicy policy, KnownEndpoints known, NewEndpoints limit) {
    this.policy = policy;
    this.known = known;
    this.limit = limit;
  }

  /** Return a receiver that asks first. */
  UplinkDeviceManagementRequestReceiver guard(UplinkDeviceManagementRequestReceiver delegate) {
    return new Guard(delegate);
  }

  private RegisterResponse refusal(RegisterRequest request, LwM2mPeer sender) {
    String endpoint = request.getEndpointName();
    if (endpoint == null || sender.getIdentity().isSecure()) {
      return null; // named by its credentials, or judged by them
    }
    if (policy.refusal(endpoint, sender) == null
        && !known.contains(endpoint)
        && sender instanceof IpPeer peer
        && !limit.admit(peer.getSocketAddress().getAddress())) {
      return new RegisterResponse(TOO_MANY, null, "too many new endpoints, try again in 60 s");
    }
    return null;
  }

  private static RegisterRequest lasting(RegisterRequest request) {
    Long lifetime = RegistrationParameters.lifetime(request.getLifetime());
    return Objects.equals(lifetime, request.getLifetime())
        ? request
        : new RegisterRequest(
            request.getEndpointName(),
            lifetime,
            request.getLwVersion(),
            request.getBindingMode(),
            request.getQueueMode(),
            request.getSmsNumber(),
            request.getObjectLinks(),
            request.getAdditionalAttributes(),
            request.getCoapRequest());
  }

  private static UpdateRequest lasting(UpdateRequest request) {
    Long lifetime = RegistrationParameters.lifetime(request.getLifeTimeInSec());
    return Objects.equals(lifetime, request.getLifeTimeInSec())
        ? request
        : new UpdateRequest(
            request.getRegistrationId(),
            lifetime,
            request.getSmsNumber(),
            request.getBindingMode(),
            request.getObjectLinks(),
            request.getAdditionalAttributes(),
            request.getCoapRequest());
  }

  private final class Guard implements UplinkDeviceManagementRequestReceiver {

    private final UplinkDeviceManagementRequestReceiver delegate;

    Guard(UplinkDeviceManagementRequestReceiver delegate) {
      this.delegate = delegate;
    }

    @Override
    @SuppressWarnings("unchecked") // the request's type decides its response's type
    public <T extends LwM2mResponse> SendableResponse<T> requestReceived(
        LwM2mPeer sender,
        ClientProfile profile,
        UplinkDeviceManagementRequest<T> request,
        EndpointUri uri) {
      if (request instanceof RegisterRequest register) {
        RegisterResponse refusal = refusal(register, sender);
        return refusal == null
            ? delegate.requestReceived(
                sender, profile, (UplinkDeviceManagementRequest<T>) lasting(register), uri)
            : new SendableResponse<>((T) refusal);
      }
      if (request instanceof UpdateRequest update) {
        return delegate.requestReceived(
            sender, profile, (UplinkDeviceManagementRequest<T>) lasting(update), uri);
      }
      return delegate.requestReceived(sender, profile, request, uri);
    }

    @Override
    public void onError(
        LwM2mPeer sender,
        ClientProfile profile,
        Exception exception,
        Class<? extends UplinkDeviceManagementRequest<? extends LwM2mResponse>> requestType,
        EndpointUri uri) {
      delegate.onError(sender, profile, exception, requestType, uri);
    }
  }
}
