package io.flownexus.leshan.server.presence;

import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationUpdate;

/**
 * Is an update of a registration that its device did not ask for: it was heard again, perhaps from
 * another address. Its lifetime goes on as it was (OMA LwM2M Core 1.1, 6.2.2: an update extends
 * it).
 */
public final class Contact extends RegistrationUpdate {

  private final boolean moved;

  Contact(Registration registration, LwM2mPeer peer, boolean moved) {
    super(registration.getId(), peer, null, null, null, null, null, null, null, null, null, null);
    this.moved = moved;
  }

  /** Return whether the device has another address than before. */
  public boolean moved() {
    return moved;
  }

  @Override
  public Registration update(Registration registration) {
    return new Registration.Builder(super.update(registration))
        .lastUpdate(registration.getLastUpdate())
        .build();
  }
}
