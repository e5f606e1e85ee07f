package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.Metrics;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.core.request.UplinkRequest;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.security.DefaultAuthorizer;
import org.eclipse.leshan.servers.security.Authorization;
import org.eclipse.leshan.servers.security.SecurityStore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Leshan's own authorizer, which tells of each device it refuses in one line. */
public final class LoggedAuthorizer extends DefaultAuthorizer {

  private static final Logger LOG = LoggerFactory.getLogger(LoggedAuthorizer.class);

  private final LongAdder refused;

  /** Judge by the entries of a store. */
  public LoggedAuthorizer(SecurityStore store, Metrics metrics) {
    super(store);
    refused = metrics.counter("unauthorized_total", "", "Requests of devices refused.");
  }

  @Override
  public Authorization isAuthorized(
      UplinkRequest<?> request, Registration registration, LwM2mPeer sender, EndpointUri uri) {
    Authorization authorization = super.isAuthorized(request, registration, sender, uri);
    if (authorization.isDeclined()) {
      refused.increment();
      LOG.warn(
          "{} of '{}' by {} refused: its credentials are not those of its security entry",
          request.getClass().getSimpleName(),
          registration.getEndpoint(),
          sender.getIdentity());
    }
    return authorization;
  }
}
