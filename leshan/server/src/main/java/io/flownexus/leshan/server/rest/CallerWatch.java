package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServletRequest;

final class CallerWatch {
  static void watch(HttpServletRequest request, Runnable gone) {}
}
