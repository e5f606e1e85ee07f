package io.flownexus.leshan.server.codec;

import com.upokecenter.cbor.CBORNumber.NumberKind;
import com.upokecenter.cbor.CBORObject;
import java.math.BigDecimal;
import java.util.EnumSet;
import java.util.Set;
import org.eclipse.leshan.core.util.datatype.NumberUtil;

/** Numbers of any notation as the numbers of LwM2M: what counts is the value (RFC 8428, 4.3). */
final class Numbers {

  private static final int LARGEST_EXPONENT = 999; // far beyond what a double holds

  private static final int LONGEST_CBOR = 128; // bytes
  private static final Set<NumberKind> KINDS_OF_SENML =
      EnumSet.of(NumberKind.Integer, NumberKind.EInteger, NumberKind.Double, NumberKind.EDecimal);

  private Numbers() {}

  /**
   * Return a number of CBOR.
   *
   * <p>SenML has neither bigfloats nor fractions (RFC 8428, 6): as decimals, a few bytes of them
   * fill the memory.
   */
  static BigDecimal decimal(CBORObject number) {
    return bounded(taken(number).ToObject(BigDecimal.class));
  }

  /** Return the number of CBOR, unless it is of a kind that SenML has not, or too long. */
  static CBORObject taken(CBORObject number) {
    NumberKind kind = number.AsNumber().getKind();
    if (!KINDS_OF_SENML.contains(kind)) {
      throw new IllegalArgumentException(
          "it is neither an integer, a float nor a decimal fraction, but of the kind " + kind);
    }
    int length = number.EncodeToBytes().length;
    if (length > LONGEST_CBOR) {
      throw new IllegalArgumentException(
          "a number has " + length + " bytes; at most " + LONGEST_CBOR + " are taken");
    }
    return number;
  }

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
