package io.flownexus.leshan.server.security;

/** What can be an endpoint's name here: it is part of URLs, and a text of PostgreSQL. */
public final class EndpointName {

  private EndpointName() {}

  /** Return what is wrong with a name, or null. */
  public static String fault(String name) {
    if (name.isEmpty()) {
      return "an endpoint name is not empty";
    }
    if (name.equals(".") || name.equals("..")) {
      return "'" + name + "' is no endpoint name: no URL can end with it";
    }
    if (name.chars().anyMatch(Character::isISOControl)) {
      return "an endpoint name has no control characters";
    }
    if (name.indexOf('\uFFFD') >= 0) { // what a decoder puts in the place of other bytes
      return "an endpoint name is UTF-8";
    }
    return null;
  }
}
