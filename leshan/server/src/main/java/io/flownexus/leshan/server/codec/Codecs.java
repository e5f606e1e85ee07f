package io.flownexus.leshan.server.codec;

import java.util.Map;
import java.util.function.Predicate;
import org.eclipse.leshan.core.json.jackson.LwM2mJsonJacksonEncoderDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mDecoder;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mValueChecker;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.node.codec.NodeEncoder;
import org.eclipse.leshan.core.node.codec.json.LwM2mNodeJsonDecoder;
import org.eclipse.leshan.core.node.codec.text.LwM2mNodeTextDecoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.util.base64.Base64Decoder;
import org.eclipse.leshan.core.util.base64.DefaultBase64Decoder;
import org.eclipse.leshan.core.util.base64.DefaultBase64Decoder.DecoderAlphabet;
import org.eclipse.leshan.core.util.base64.DefaultBase64Decoder.DecoderPadding;
import org.eclipse.leshan.senml.cbor.upokecenter.SenMLCborUpokecenterEncoderDecoder;
import org.eclipse.leshan.senml.json.jackson.SenMLJsonJacksonEncoderDecoder;

/** Leshan's codecs, with those in their place that read or write some values wrongly. */
public final class Codecs {

  private Codecs() {}

  /**
   * Make the decoder of all content formats.
   *
   * <p>What cannot be read is thrown as an {@link UnreadableException}; of a Send of which some can
   * be read, it is given to {@code keeper}, and only thrown when that does not take it.
   */
  public static LwM2mDecoder decoder(Predicate<UnreadableException> keeper) {
    Map<ContentFormat, NodeDecoder> decoders = DefaultLwM2mDecoder.getDefaultNodeDecoders(false);
    decoders.put(ContentFormat.TEXT, new LwM2mNodeTextDecoder(Links.parser(), base64()));
    decoders.put(
        ContentFormat.JSON,
        new LwM2mNodeJsonDecoder(new LwM2mJsonJacksonEncoderDecoder(), Links.parser(), base64()));
    decoders.put(ContentFormat.TLV, new TlvNodeDecoder());
    decoders.put(ContentFormat.CBOR, new CborNodeDecoder());
    decoders.put(
        ContentFormat.SENML_JSON, new SenMlNodeDecoder(new SenMLJsonJacksonEncoderDecoder()));
    decoders.put(
        ContentFormat.SENML_CBOR,
        new SenMlNodeDecoder(new SenMLCborUpokecenterEncoderDecoder(new SenMlCborNumbers())));
    return new TolerantDecoder(decoders, keeper);
  }

  /** Make the encoder of all content formats. */
  public static LwM2mEncoder encoder() {
    Map<ContentFormat, NodeEncoder> encoders = DefaultLwM2mEncoder.getDefaultNodeEncoders(false);
    encoders.put(ContentFormat.TLV, new TlvNodeEncoder());
    return new DefaultLwM2mEncoder(
        encoders, DefaultLwM2mEncoder.getDefaultPathEncoder(), new LwM2mValueChecker());
  }

  private static Base64Decoder base64() {
    return new DefaultBase64Decoder(DecoderAlphabet.BASE64, DecoderPadding.REQUIRED);
  }
}
