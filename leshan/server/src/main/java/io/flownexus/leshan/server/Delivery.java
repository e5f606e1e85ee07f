package io.flownexus.leshan.server;

import io.flownexus.leshan.server.security.KnownEndpoints;
import io.flownexus.leshan.server.webhook.Spool;
import io.flownexus.leshan.server.webhook.Uplink;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionStage;
import org.eclipse.leshan.server.registration.RegistrationStore;

/** The way of data from devices to functions, and what of the devices is kept for it. */
interface Delivery {

  Spool spool();

  Uplink uplink();

  RegistrationStore registrations();

  KnownEndpoints endpoints();

  /** Return when all registrations and observations so far are kept. */
  CompletionStage<Void> saved();

  /** Say why data is not kept or not posted, though disk and functions may be well. */
  List<String> troubles();

  /** Deliver what waits, at most so long, and stop. */
  void stop(Duration patience);
}
