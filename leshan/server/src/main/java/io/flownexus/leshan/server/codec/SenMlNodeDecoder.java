package io.flownexus.leshan.server.codec;

import org.eclipse.leshan.core.node.codec.senml.LwM2mNodeSenMLDecoder;
import org.eclipse.leshan.senml.SenMLDecoder;

/** Takes a whole number for a FLOAT, and 35.0 for an INTEGER, in JSON and in CBOR (RFC 8428, 6). */
final class SenMlNodeDecoder extends LwM2mNodeSenMLDecoder {

  SenMlNodeDecoder(SenMLDecoder decoder) {
    super(decoder, Links.parser(), true);
  }

  @Override
  protected Double numberToDouble(Number number, boolean permissive) {
    return Numbers.toDouble(number);
  }
}
