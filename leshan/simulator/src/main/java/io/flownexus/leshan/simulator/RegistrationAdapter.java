package io.flownexus.leshan.simulator;

import java.util.Map;
import org.eclipse.leshan.client.RegistrationUpdate;
import org.eclipse.leshan.client.engine.RegistrationEngine;
import org.eclipse.leshan.client.servers.LwM2mServer;

/** Is a registrar as Leshan knows it. */
final class RegistrationAdapter implements RegistrationEngine {
  private final String endpoint;
  private final Registrar registrar;

  RegistrationAdapter(String endpoint, Registrar registrar) {
    this.endpoint = endpoint;
    this.registrar = registrar;
  }

  @Override
  public void start() {
    registrar.start();
  }

  @Override
  public void stop(boolean deregister) {
    registrar.stop();
  }

  @Override
  public void destroy(boolean deregister) {
    registrar.stop();
  }

  @Override
  public void triggerRegistrationUpdate(RegistrationUpdate changes) {
    registrar.update(changes);
  }

  @Override
  public void triggerRegistrationUpdate() {
    registrar.update(new RegistrationUpdate());
  }

  @Override
  public void triggerRegistrationUpdate(LwM2mServer to) {
    registrar.update(new RegistrationUpdate());
  }

  @Override
  public void triggerRegistrationUpdate(LwM2mServer to, RegistrationUpdate changes) {
    registrar.update(changes);
  }

  @Override
  public boolean triggerClientInitiatedBootstrap(boolean deregister) {
    return false;
  }

  @Override
  public String getRegistrationId(LwM2mServer of) {
    return registrar.registrationId();
  }

  @Override
  public Map<String, LwM2mServer> getRegisteredServers() {
    String id = registrar.registrationId();
    return id == null ? Map.of() : Map.of(id, registrar.link().server());
  }

  @Override
  public LwM2mServer getRegisteredServer(long serverId) {
    LwM2mServer server = registrar.link().server();
    return isAllowedToCommunicate(server) ? server : null;
  }

  @Override
  public boolean isAllowedToCommunicate(LwM2mServer peer) {
    return registrar.talksTo(peer);
  }

  @Override
  public String getEndpoint() {
    return endpoint;
  }
}
