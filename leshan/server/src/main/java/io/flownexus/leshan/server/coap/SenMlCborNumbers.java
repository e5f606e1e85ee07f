package io.flownexus.leshan.server.coap;

import com.upokecenter.cbor.CBORNumber.NumberKind;
import com.upokecenter.cbor.CBORObject;
import java.math.BigDecimal;
import java.util.Map;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.LwM2mDecoder;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.node.codec.senml.LwM2mNodeSenMLDecoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.senml.SenMLException;
import org.eclipse.leshan.senml.cbor.upokecenter.SenMLCborPackSerDes;
import org.eclipse.leshan.senml.cbor.upokecenter.SenMLCborUpokecenterEncoderDecoder;

/**
 * Reads every decimal fraction of SenML-CBOR (RFC 8428, section 6).
 *
 * <p>Leshan 2.0.0-M18 fails at those that a double holds exactly: of the timestamps in milliseconds
 * that its own client sends, the multiples of 125.
 */
public final class SenMlCborNumbers extends SenMLCborPackSerDes {

  /** Make Leshan's decoder with this for SenML-CBOR. */
  public static LwM2mDecoder decoder() {
    Map<ContentFormat, NodeDecoder> decoders = DefaultLwM2mDecoder.getDefaultNodeDecoders(false);
    decoders.put(
        ContentFormat.SENML_CBOR,
        new LwM2mNodeSenMLDecoder(
            new SenMLCborUpokecenterEncoderDecoder(new SenMlCborNumbers()), false));
    return new DefaultLwM2mDecoder(decoders);
  }

  @Override
  protected Number deserializeNumber(CBORObject number, String field) throws SenMLException {
    return number.isNumber() && number.AsNumber().getKind() == NumberKind.EDecimal
        ? number.<BigDecimal>ToObject(BigDecimal.class)
        : super.deserializeNumber(number, field);
  }
}
