package io.flownexus.leshan.server.codec;

import java.util.ArrayList;
import java.util.List;
import org.eclipse.leshan.core.LwM2m.Version;
import org.eclipse.leshan.core.link.attributes.AttributeModel;
import org.eclipse.leshan.core.link.attributes.Attributes;
import org.eclipse.leshan.core.link.lwm2m.DefaultLwM2mLinkParser;
import org.eclipse.leshan.core.link.lwm2m.LwM2mLinkParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttribute;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributes;
import org.eclipse.leshan.core.link.lwm2m.attributes.ObjectVersionAttributeModel;
import org.eclipse.leshan.core.parser.StringParser;

/** Reads links as devices write them. */
public final class Links {

  private static final LwM2mLinkParser PARSER = new DefaultLwM2mLinkParser(attributes());

  private Links() {}

  /**
   * Return the parser of all links, which takes {@code ver="1.1"} for {@code ver=1.1}.
   *
   * <p>LwM2M 1.0 does not say how a version is written, and quotes it in examples; devices do.
   */
  public static LwM2mLinkParser parser() {
    return PARSER;
  }

  private static List<AttributeModel<?>> attributes() {
    List<AttributeModel<?>> attributes = new ArrayList<>(Attributes.ALL);
    attributes.addAll(LwM2mAttributes.ALL);
    attributes.remove(LwM2mAttributes.OBJECT_VERSION);
    attributes.add(new QuotableVersion());
    return attributes;
  }

  private static final class QuotableVersion extends ObjectVersionAttributeModel {

    // As an attribute of Leshan's own model, by which Leshan looks it up.
    @Override
    public <E extends Throwable> LwM2mAttribute<Version> consumeAttributeValue(
        StringParser<E> parser) throws E {
      Version version = super.<E>consumeAttributeValue(parser).getValue();
      return LwM2mAttributes.create(LwM2mAttributes.OBJECT_VERSION, version);
    }

    @Override
    protected boolean tolerateQuote() {
      return true;
    }
  }
}
