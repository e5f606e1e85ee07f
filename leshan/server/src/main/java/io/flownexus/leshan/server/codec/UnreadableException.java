package io.flownexus.leshan.server.codec;

import java.util.List;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.node.codec.CodecException;

/** A payload cannot be read, or not all of it: what can, and what cannot. */
public final class UnreadableException extends CodecException {

  private static final long serialVersionUID = 1L;

  private final transient TimestampedLwM2mNodes good;
  private final transient List<Rejected> rejected;
  private final Integer format;

  UnreadableException(TimestampedLwM2mNodes good, List<Rejected> rejected, Integer format) {
    super(message(rejected));
    this.good = good;
    this.rejected = List.copyOf(rejected);
    this.format = format;
  }

  /** Return the exception that another one is, or was caused by, or null. */
  public static UnreadableException in(Throwable error) {
    Throwable cause = error;
    while (cause != null && !(cause instanceof UnreadableException)) {
      cause = cause.getCause();
    }
    return (UnreadableException) cause;
  }

  /** Return the nodes that can be read. */
  public TimestampedLwM2mNodes good() {
    return good;
  }

  /** Return the parts that cannot, at least one. */
  public List<Rejected> rejected() {
    return rejected;
  }

  /** Return the code of the content format, or null when the message named none. */
  public Integer format() {
    return format;
  }

  private static String message(List<Rejected> rejected) {
    Rejected first = rejected.get(0);
    String where = first.path() == null ? "" : first.path() + ": ";
    String others = rejected.size() == 1 ? "" : " (and " + (rejected.size() - 1) + " more)";
    return where + first.reason() + others;
  }
}
