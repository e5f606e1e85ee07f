package io.flownexus.leshan.server.spool;

import java.util.UUID;

/**
 * Gives the items of a lane from a position on the numbers of a source, the first of which is 1.
 */
record Numbering(long since, UUID source) {

  long seq(long position) {
    return position - since + 1;
  }

  long position(long seq) {
    return since + seq - 1;
  }
}
