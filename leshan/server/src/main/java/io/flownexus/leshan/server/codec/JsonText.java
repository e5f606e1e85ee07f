package io.flownexus.leshan.server.codec;

import org.eclipse.leshan.core.node.codec.CodecException;

/** Finds in JSON what parsers let pass: half a character, and numbers that fill the memory. */
final class JsonText {

  private static final int LARGEST_EXPONENT_DIGITS = 3;

  private JsonText() {}

  /** Throw a CodecException when text of it is no Unicode, or an exponent is beyond all sense. */
  static void check(byte[] json) {
    boolean inText = false;
    boolean half = false; // the last thing of the text was the first half of a surrogate pair
    for (int i = 0; i < json.length; i++) {
      byte b = json[i];
      if (!inText) {
        inText = b == '"';
        if (b == 'e' || b == 'E') {
          checkExponent(json, i + 1);
        }
        continue;
      }
      boolean escaped = b == '\\' && i + 1 < json.length;
      int code = escaped && json[i + 1] == 'u' ? hex(json, i + 2) : -1;
      boolean low = code >= Character.MIN_LOW_SURROGATE && code <= Character.MAX_LOW_SURROGATE;
      if (half != low) {
        throw new CodecException("a text has half of a surrogate pair, which is no character");
      }
      half = code >= Character.MIN_HIGH_SURROGATE && code <= Character.MAX_HIGH_SURROGATE;
      if (escaped) {
        i += code < 0 ? 1 : 5;
      } else {
        inText = b != '"';
      }
    }
  }

  private static void checkExponent(byte[] json, int from) {
    int at = from;
    if (at < json.length && (json[at] == '+' || json[at] == '-')) {
      at++;
    }
    int first = at;
    while (at < json.length && json[at] >= '0' && json[at] <= '9') {
      at++;
    }
    if (at - first > LARGEST_EXPONENT_DIGITS) {
      throw new CodecException("the exponent of a number has %d digits", at - first);
    }
  }

  // -1 where there are no four digits: the parser will say so.
  private static int hex(byte[] json, int from) {
    int code = 0;
    for (int i = from; i < from + 4; i++) {
      int digit = i < json.length ? Character.digit(json[i], 16) : -1;
      if (digit < 0) {
        return -1;
      }
      code = code << 4 | digit;
    }
    return code;
  }
}
