package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.base.Metrics;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.security.DefaultAuthorizer;
import org.eclipse.leshan.servers.security.Authorization;
import org.eclipse.leshan.servers.security.SecurityChecker;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Says who may use an endpoint's name; tells of each device that it refuses in one line. */
public final class DevicePolicy extends DefaultAuthorizer {

  private static final Logger LOG = LoggerFactory.getLogger(DevicePolicy.class);

  private final FileSecurityStore store;
  private final PlainCoap plain;
  private final KnownEndpoints known;
  private final SecurityChecker checker = new SecurityChecker();
  private final CounterDataPoint refused;
  private volatile RefusalListener listener = (endpoint, address, cause, detail) -> {};

  /** Judge by security entries, what is allowed in the clear, and how endpoints came before. */
  public DevicePolicy(
      FileSecurityStore store, PlainCoap plain, KnownEndpoints known, Metrics metrics) {
    super(store);
    this.store = store;
    this.plain = plain;
    this.known = known;
    refused = metrics.unauthorizedRequests;
  }

  /** Tell a listener of registrations that are refused. */
  public void tell(RefusalListener refusals) {
    listener = refusals;
  }

  /** Return why a peer may not use an endpoint's name, or null if it may. */
  public RefusalCause refusal(String endpoint, LwM2mPeer peer) {
    boolean secure = peer.getIdentity().isSecure();
    if (!secure && !plain.admits(endpoint)) {
      return RefusalCause.PLAIN_COAP_NOT_ALLOWED;
    }
    SecurityEntry entry = store.entry(endpoint);
    if (entry == null) {
      if (secure) {
        return RefusalCause.WRONG_CREDENTIALS;
      }
      if (store.carried().refusesUnenrolled()) {
        return RefusalCause.NOT_ENROLLED;
      }
    } else if (entry.isDenied()) {
      return RefusalCause.CREDENTIALS_REVOKED;
    } else if (!store.has(
        endpoint, each -> checker.checkSecurityInfo(endpoint, peer, each.info()))) {
      return RefusalCause.WRONG_CREDENTIALS;
    }
    if (!secure && known.cameSecurely(endpoint)) {
      return RefusalCause.CAME_OVER_DTLS_BEFORE;
    }
    return null;
  }

  // Of those that refusal() has judged, by any of the endpoint's credentials.
  @Override
  protected Authorization checkIdentity(
      UplinkRequest<?> request, Registration registration, LwM2mPeer sender, EndpointUri uri) {
    if (request instanceof RegisterRequest
        || request instanceof UpdateRequest
        || request instanceof DeregisterRequest) {
      return Authorization.approved();
    }
    return super.checkIdentity(request, registration, sender, uri);
  }

  @Override
  public Authorization isAuthorized(
      UplinkRequest<?> request, Registration registration, LwM2mPeer sender, EndpointUri uri) {
    RefusalCause cause = refusal(registration.getEndpoint(), sender);
    String reason = "its registration is another peer's";
    if (cause == null) {
      Authorization authorization = super.isAuthorized(request, registration, sender, uri);
      if (authorization.isApproved()) {
        return authorization;
      }
    } else {
      reason = cause.reason();
      if (request instanceof RegisterRequest && sender instanceof IpPeer peer) {
        listener.refused(
            registration.getEndpoint(), peer.getSocketAddress().getAddress(), cause, null);
      }
    }
    refused.inc();
    LOG.atWarn()
        .addKeyValue("endpoint", registration.getEndpoint())
        .log(
            "{} by {} refused: {}",
            request.getClass().getSimpleName(),
            sender.getIdentity(),
            reason);
    return Authorization.declined();
  }
}
