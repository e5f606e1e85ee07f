package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.base.Metrics;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.peer.LwM2mPeer;
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

  /** Judge by security entries, what is allowed in the clear, and how endpoints came before. */
  public DevicePolicy(
      FileSecurityStore store, PlainCoap plain, KnownEndpoints known, Metrics metrics) {
    super(store);
    this.store = store;
    this.plain = plain;
    this.known = known;
    refused = metrics.unauthorizedRequests;
  }

  /** Return why a peer may not use an endpoint's name, or null if it may. */
  public String refusal(String endpoint, LwM2mPeer peer) {
    boolean secure = peer.getIdentity().isSecure();
    if (!secure && !plain.admits(endpoint)) {
      return "its name is none of those that may come over plain CoAP";
    }
    if (store.isDenied(endpoint)) {
      return "its credentials were revoked";
    }
    if (!checker.checkSecurityInfo(endpoint, peer, store.getByEndpoint(endpoint))) {
      return "its credentials are not those of its security entry";
    }
    if (!secure && known.cameSecurely(endpoint)) {
      return "it came over DTLS before, and may not come over plain CoAP any more";
    }
    return null;
  }

  @Override
  public Authorization isAuthorized(
      UplinkRequest<?> request, Registration registration, LwM2mPeer sender, EndpointUri uri) {
    String reason = refusal(registration.getEndpoint(), sender);
    if (reason == null) {
      Authorization authorization = super.isAuthorized(request, registration, sender, uri);
      if (authorization.isApproved()) {
        return authorization;
      }
      reason = "its registration is another peer's";
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
