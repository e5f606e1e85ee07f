package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.presence.AwakeTimes;
import io.flownexus.leshan.server.security.EndpointName;
import java.util.List;

/**
 * What is said in the query of a registration or an update (OMA LwM2M Core 1.1, 6.2.1, 6.2.2), and
 * one parameter of our own: for how long a sleepy device listens.
 */
final class RegistrationParameters {

  /** The longest lifetime, in seconds: 68 years. */
  static final long LONGEST_LIFETIME = Integer.MAX_VALUE;

  /** Every kind of binding that some version has; Leshan says which version has which. */
  private static final String BINDINGS = "UTSNQ";

  private RegistrationParameters() {}

  /** Return what is wrong with the parameters, and what would be right, or null. */
  static String fault(List<String> parameters, boolean registering) {
    for (String parameter : parameters) {
      int equals = parameter.indexOf('=');
      String name = equals < 0 ? parameter : parameter.substring(0, equals);
      String value = equals < 0 ? null : parameter.substring(equals + 1);
      String fault =
          switch (name) {
            case "ep" -> registering ? EndpointName.fault(value == null ? "" : value) : null;
            case "lt" -> lifetime(value);
            case "b" -> binding(value);
            case "sms" -> value == null ? "sms is a telephone number" : null;
            case AwakeTimes.PARAMETER -> awake(value);
            case "Q" -> registering && value != null ? "Q has no value" : null;
            default -> null;
          };
      if (fault != null) {
        return fault;
      }
    }
    return null;
  }

  /**
   * Return the lifetime to register with: none told stays none, 0 is as good as for ever.
   *
   * <p>The description of the Server object's Lifetime (1/x/1 of object version 1.2) has 0 as
   * infinite; earlier ones do not say what else it could be.
   */
  static Long lifetime(Long told) {
    return told != null && told == 0 ? (Long) LONGEST_LIFETIME : told;
  }

  private static String lifetime(String value) {
    boolean number = value != null && value.matches("[0-9]{1,10}");
    return number && Long.parseLong(value) <= LONGEST_LIFETIME
        ? null
        : "lt is a whole number of seconds from 0, for ever, to " + LONGEST_LIFETIME;
  }

  private static String awake(String value) {
    return value == null || AwakeTimes.parse(value) == null
        ? AwakeTimes.PARAMETER
            + " is a whole number of seconds from 1 to "
            + AwakeTimes.LONGEST_S
            + ", for which the device listens after each contact"
        : null;
  }

  private static String binding(String value) {
    return value == null || value.chars().anyMatch(mode -> BINDINGS.indexOf(mode) < 0)
        ? "b is made of the letters U, T, S, N, and Q of version 1.0"
        : null;
  }
}
