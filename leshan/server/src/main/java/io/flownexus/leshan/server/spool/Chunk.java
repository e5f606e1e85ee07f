package io.flownexus.leshan.server.spool;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The items of a lane that one transaction has committed; first is the position of the first. */
record Chunk(long first, long time, List<byte[]> items) {

  private static final int OVERHEAD = 32;

  /** Return what an item counts for against the spool's bound. */
  static long cost(byte[] item) {
    return item.length + OVERHEAD;
  }

  /** Return the position of the last item. */
  long last() {
    return first + items.size() - 1;
  }

  long bytes() {
    return items.stream().mapToLong(Chunk::cost).sum();
  }

  /** Return the items as lines: their JSON has no line breaks. */
  byte[] lines() {
    ByteArrayOutputStream out = new ByteArrayOutputStream((int) bytes());
    for (byte[] item : items) {
      out.writeBytes(item);
      out.write('\n');
    }
    return out.toByteArray();
  }

  static Chunk of(long first, long time, byte[] lines) {
    List<byte[]> items = new ArrayList<>();
    int start = 0;
    for (int i = 0; i < lines.length; i++) {
      if (lines[i] == '\n') {
        items.add(Arrays.copyOfRange(lines, start, i));
        start = i + 1;
      }
    }
    return new Chunk(first, time, items);
  }
}
