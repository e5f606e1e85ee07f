package io.flownexus.leshan.server.codec;

import java.math.BigDecimal;
import org.eclipse.leshan.core.util.datatype.NumberUtil;

/** Numbers of any notation as the numbers of LwM2M: what counts is the value (RFC 8428, 4.3). */
final class Numbers {

  private static final int LARGEST_EXPONENT = 999; // far beyond what a double holds

  private Numbers() {}

  /** Return a number as FLOAT: the nearest double. */
  static Double toDouble(Number number) {
    double value =
        number instanceof Double || number instanceof Float
            ? number.doubleValue()
            : NumberUtil.numberToBigDecimal(number).doubleValue();
    if (Double.isInfinite(value)) {
      throw new IllegalArgumentException(number + " is too large for 64 bits");
    }
    return value;
  }

  /** Return the number, unless its exponent would make arithmetic fill the memory. */
  static BigDecimal bounded(BigDecimal number) {
    if (!isBounded(number)) {
      throw new IllegalArgumentException("the exponent of " + number + " is too large");
    }
    return number;
  }

  /** Return whether arithmetic with the number takes little memory. */
  static boolean isBounded(BigDecimal number) {
    return Math.abs((long) number.scale()) <= LARGEST_EXPONENT;
  }
}
