package io.flownexus.leshan.simulator;

/** Is the download of a firmware package that is under way. */
interface Download {

  /** Says why there is no package. */
  enum Failure {
    CONNECTION_LOST,
    TOO_LARGE,
    NOT_FOUND
  }

  /** Give up, and tell nobody. */
  void cancel();
}
