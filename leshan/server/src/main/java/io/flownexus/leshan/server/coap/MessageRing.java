package io.flownexus.leshan.server.coap;

/**
 * The latest messages of one peer and what became of each, in eight bytes a message.
 *
 * <p>An entry has the message id, 24 bits of the token, a state and the second in which it came: a
 * message is taken for another one only if its id is used again within 247 s, which RFC 7252, 4.4
 * forbids, and 24 bits of its token are the same. Guarded by itself.
 */
final class MessageRing {

  /** How many messages are remembered at most. */
  static final int MAX_MESSAGES = 256;

  /** For so many seconds a message may come again (EXCHANGE_LIFETIME, RFC 7252, 4.8.2). */
  static final int LIFETIME_S = 247;

  /** Not seen before. */
  static final int NEW = 0;

  /** Taken, and not answered. */
  static final int PENDING = 1;

  /** Acknowledged by an empty message. Greater states are the codes of responses. */
  static final int ACKNOWLEDGED = 2;

  private static final int FEWEST = 16;
  private static final long ID = 0xffffL << 48;
  private static final long TOKEN = 0xffffffL << 24;
  private static final long MESSAGE = ID | TOKEN;
  private static final long STATE = 0xff0000L;

  private long[] entries = new long[FEWEST]; // 0 is none
  private int next;
  private int size; // entries before next, those forgotten included
  private int lastSecond;
  private boolean removed;
  private long created; // the entry of the latest registration, without its state
  private String location;

  /**
   * Return the state of a message, NEW if it is the first, which then is PENDING.
   *
   * @param token the token's hash
   * @param second by any clock that goes on
   * @param room how many more entries may be allocated
   */
  int take(int mid, int token, int second, int room) {
    if (second - lastSecond > LIFETIME_S) {
      size = 0;
    }
    lastSecond = second;
    int found = find(MESSAGE, key(mid, token));
    if (found >= 0 && alive(entries[found], second)) {
      return (int) (entries[found] >>> 16) & 0xff;
    }
    if (size == entries.length) {
      if (size < MAX_MESSAGES && size <= room && alive(entries[next], second)) {
        grow();
      } else {
        size--; // the oldest is overwritten
      }
    }
    entries[next] = key(mid, token) | (long) PENDING << 16 | second & 0xffff;
    next = next + 1 & entries.length - 1;
    size++;
    return NEW;
  }

  /** Say what became of the latest message with this id. */
  void settle(int mid, int state) {
    int found = find(ID, (long) mid << 48);
    if (found >= 0) {
      entries[found] = entries[found] & ~STATE | (long) state << 16;
    }
  }

  /** Say where the registration is that this message made. */
  void created(int mid, int token, String where) {
    created = key(mid, token);
    location = where;
  }

  /** Return where the registration is that this message made, or null if a later one made one. */
  String location(int mid, int token) {
    return created == key(mid, token) ? location : null;
  }

  /** Take the latest message with this id for one that never came. */
  void forget(int mid) {
    clear(find(ID, (long) mid << 48));
  }

  /** Take the latest message with this token for one that never came. */
  void forgetToken(int token) {
    clear(find(TOKEN, key(0, token)));
  }

  /** Return whether nothing is remembered that may still come again. */
  boolean isOver(int second) {
    return size == 0 || second - lastSecond > LIFETIME_S;
  }

  /** Return for how many messages there is room. */
  int capacity() {
    return entries.length;
  }

  void remove() {
    removed = true;
  }

  boolean isRemoved() {
    return removed;
  }

  // Newest first. An entry is never 0, for its state is not.
  private int find(long mask, long bits) {
    long[] all = entries;
    int last = all.length - 1;
    for (int back = 1; back <= size; back++) {
      int i = next - back & last;
      if ((all[i] & mask) == bits && all[i] != 0) {
        return i;
      }
    }
    return -1;
  }

  private void clear(int found) {
    if (found < 0) {
      return;
    }
    entries[found] = 0;
    int mask = entries.length - 1;
    while (size > 0 && entries[next - 1 & mask] == 0) {
      next = next - 1 & mask;
      size--;
    }
  }

  private void grow() {
    long[] larger = new long[entries.length * 2];
    System.arraycopy(entries, next, larger, 0, entries.length - next);
    System.arraycopy(entries, 0, larger, entries.length - next, next);
    next = entries.length;
    entries = larger;
  }

  private static boolean alive(long entry, int second) {
    return entry != 0 && (second - (int) entry & 0xffff) <= LIFETIME_S;
  }

  private static long key(int mid, int token) {
    return (long) mid << 48 | (token & 0xffffffL) << 24;
  }
}
