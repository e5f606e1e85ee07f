package io.flownexus.leshan.server.webhook;

import java.util.Locale;

/** The webhooks: each has its own URL, lanes and numbers. */
public enum WebhookKind {
  SINGLE,
  COMPOSITE,
  REGISTRATION;

  /** Return the name as metrics and logs show it. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }
}
