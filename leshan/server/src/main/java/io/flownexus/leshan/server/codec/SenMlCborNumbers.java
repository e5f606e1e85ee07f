package io.flownexus.leshan.server.codec;

import com.upokecenter.cbor.CBORNumber.NumberKind;
import com.upokecenter.cbor.CBORObject;
import org.eclipse.leshan.senml.SenMLException;
import org.eclipse.leshan.senml.cbor.upokecenter.SenMLCborPackSerDes;

/**
 * Reads every decimal fraction of SenML-CBOR (RFC 8428, section 6).
 *
 * <p>Leshan 2.0.0-M18 fails at those that a double holds exactly: of the timestamps in milliseconds
 * that its own client sends, the multiples of 125.
 */
final class SenMlCborNumbers extends SenMLCborPackSerDes {

  @Override
  protected Number deserializeNumber(CBORObject number, String field) throws SenMLException {
    if (!number.isNumber()) {
      return super.deserializeNumber(number, field);
    }
    return Numbers.taken(number).AsNumber().getKind() == NumberKind.EDecimal
        ? Numbers.decimal(number)
        : super.deserializeNumber(number, field);
  }
}
