package io.flownexus.leshan.server.codec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.node.codec.CodecException;
import org.eclipse.leshan.core.node.codec.LwM2mDecoder;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.util.datatype.ULong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every data type in every content format, there and back, and what devices write otherwise. */
class CodecTableTest {

  private static final int OBJECT = 33000;
  private static final int MULTIPLE = 100; // added to the id of a resource
  private static final List<Type> TYPES =
      List.of(
          Type.STRING,
          Type.INTEGER,
          Type.UNSIGNED_INTEGER,
          Type.FLOAT,
          Type.BOOLEAN,
          Type.TIME,
          Type.OPAQUE,
          Type.OBJLNK,
          Type.CORELINK);
  private static final Map<String, ContentFormat> FORMATS =
      new LinkedHashMap<>(
          Map.of(
              "TLV", ContentFormat.TLV,
              "SENML_JSON", ContentFormat.SENML_JSON,
              "SENML_CBOR", ContentFormat.SENML_CBOR,
              "JSON", ContentFormat.JSON,
              "TEXT", ContentFormat.TEXT,
              "CBOR", ContentFormat.CBOR,
              "OPAQUE", ContentFormat.OPAQUE));
  private static final List<String> OF_ONE_VALUE = List.of("TEXT", "CBOR", "OPAQUE");
  private static final LwM2mModel MODEL = new StaticModel(model());

  private final LwM2mDecoder decoder = Codecs.decoder(unreadable -> false);
  private final LwM2mEncoder encoder = Codecs.encoder();

  static Stream<Arguments> table() {
    return FORMATS.keySet().stream()
        .flatMap(
            format ->
                TYPES.stream()
                    .filter(type -> !format.equals("OPAQUE") || type == Type.OPAQUE)
                    .flatMap(
                        type ->
                            values(type).stream().map(value -> Arguments.of(format, type, value))));
  }

  @ParameterizedTest(name = "{0} {1} {2}")
  @MethodSource("table")
  void value_is_read_as_it_was_written(String format, Type type, Object value) {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, TYPES.indexOf(type));
    LwM2mResource resource = LwM2mSingleResource.newResource(path.getResourceId(), value, type);
    assertSame(resource, thereAndBack(format, path, resource));
    if (!OF_ONE_VALUE.contains(format)) {
      LwM2mPath above = new LwM2mPath(OBJECT, 0);
      LwM2mObjectInstance instance = new LwM2mObjectInstance(0, resource);
      LwM2mObjectInstance read = (LwM2mObjectInstance) thereAndBack(format, above, instance);
      assertSame(resource, read.getResource(resource.getId()));
    }
  }

  @ParameterizedTest(name = "{0} {1} {2}")
  @MethodSource("table")
  void resource_instance_is_read_as_it_was_written(String format, Type type, Object value) {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, MULTIPLE + TYPES.indexOf(type), 7);
    LwM2mResourceInstance instance = LwM2mResourceInstance.newInstance(7, value, type);
    LwM2mResourceInstance read = (LwM2mResourceInstance) thereAndBack(format, path, instance);
    assertValue(type, value, read.getType(), read.getValue());
    if (!OF_ONE_VALUE.contains(format)) {
      LwM2mPath above = new LwM2mPath(OBJECT, 0, path.getResourceId());
      LwM2mResource many =
          LwM2mMultipleResource.newResource(path.getResourceId(), Map.of(0, value, 7, value), type);
      LwM2mResource all = (LwM2mResource) thereAndBack(format, above, many);
      assertEquals(List.of(0, 7), all.getInstances().keySet().stream().sorted().toList());
      assertValue(type, value, all.getType(), all.getInstance(7).getValue());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "c8, 200",
    "00c8, 200",
    "ff, 255",
    "8000, 32768",
    "ffffffff, 4294967295",
    "7fffffffffffffff, 9223372036854775807",
    "8000000000000000, 9223372036854775808",
    "ffffffffffffffff, 18446744073709551615",
  })
  void unsigned_tlv_is_read_without_a_sign(String hex, String value) {
    assertEquals(ULong.valueOf(value), tlv(Type.UNSIGNED_INTEGER, hex));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 00",
    "127, 7f",
    "200, 00c8",
    "32768, 00008000",
    "4294967295, 00000000ffffffff",
    "9223372036854775808, 8000000000000000",
    "18446744073709551615, ffffffffffffffff",
  })
  void unsigned_tlv_is_written_so_that_its_sign_does_not_matter(String value, String hex) {
    int id = TYPES.indexOf(Type.UNSIGNED_INTEGER);
    LwM2mResource resource =
        LwM2mSingleResource.newUnsignedIntegerResource(id, ULong.valueOf(value));
    byte[] written =
        encoder.encode(resource, ContentFormat.TLV, null, new LwM2mPath(OBJECT, 0, id), MODEL);
    assertEquals(hex, HexFormat.of().formatHex(written).substring(hex.length() == 16 ? 6 : 4));
  }

  @ParameterizedTest
  @CsvSource({
    "INTEGER, 80, -128",
    "INTEGER, ffffff38, -200",
    "INTEGER, 8000000000000000, -9223372036854775808",
    "FLOAT, 41c70000, 24.875",
    "TIME, 5f5e1000, 1600000000000",
  })
  void tlv_of_a_device_is_read(Type type, String hex, String value) {
    Object read = tlv(type, hex);
    assertEquals(value, read instanceof Date date ? "" + date.getTime() : read.toString());
  }

  @ParameterizedTest
  @CsvSource({
    "INTEGER, ''",
    "INTEGER, 010203040506070809",
    "UNSIGNED_INTEGER, ''",
    "FLOAT, 010203",
    "BOOLEAN, 02",
    "BOOLEAN, 0001",
    "TIME, 7fffffffffffffff",
    "OBJLNK, 0003",
    "OBJLNK, 000300010002",
  })
  void tlv_that_is_no_value_of_its_type_is_refused(Type type, String hex) {
    assertThrows(CodecException.class, () -> tlv(type, hex));
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT, 1823, 35.0", // 35
    "FLOAT, 3822, -35.0",
    "FLOAT, f95060, 35.0", // half precision
    "FLOAT, fa420c0000, 35.0",
    "FLOAT, c48220190dae, 350.2", // decimal fraction
    "FLOAT, 1b7fffffffffffffff, 9.223372036854776E18", // the nearest double
    "FLOAT, 1bffffffffffffffff, 1.8446744073709552E19",
    "INTEGER, fb4041800000000000, 35",
    "INTEGER, f9d060, -35",
    "INTEGER, 3b7fffffffffffffff, -9223372036854775808",
    "UNSIGNED_INTEGER, 1bffffffffffffffff, 18446744073709551615",
    "UNSIGNED_INTEGER, fb4041800000000000, 35",
    "TIME, 1a65544f00, 1700024064000",
    "TIME, fb41d9551380000000, 1700023808000",
  })
  void number_of_cbor_is_read_in_any_notation(Type type, String hex, String value) {
    byte[] number = HexFormat.of().parseHex(hex);
    LwM2mPath path = new LwM2mPath(OBJECT, 0, TYPES.indexOf(type));
    assertNumber(type, value, read(number, ContentFormat.CBOR, path));
    byte[] name = ("/" + OBJECT + "/0/" + path.getResourceId()).getBytes(StandardCharsets.UTF_8);
    String senml =
        "81a200"
            + HexFormat.of().toHexDigits((byte) (0x60 + name.length))
            + HexFormat.of().formatHex(name)
            + "02"
            + hex;
    assertNumber(type, value, read(HexFormat.of().parseHex(senml), ContentFormat.SENML_CBOR, path));
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT, 35, 35.0",
    "FLOAT, 9007199254740993, 9.007199254740992E15",
    "INTEGER, 35.0, 35",
    "INTEGER, 3.5e1, 35",
    "UNSIGNED_INTEGER, 18446744073709551615, 18446744073709551615",
    "UNSIGNED_INTEGER, 35.0, 35",
  })
  void number_of_senml_json_is_read_in_any_notation(Type type, String number, String value) {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, TYPES.indexOf(type));
    byte[] json =
        "[{\"n\":\"%s\",\"v\":%s}]".formatted(path, number).getBytes(StandardCharsets.UTF_8);
    assertNumber(type, value, read(json, ContentFormat.SENML_JSON, path));
  }

  @ParameterizedTest
  @CsvSource({
    "INTEGER, fb4041c00000000000", // 35.5
    "INTEGER, 1bffffffffffffffff",
    "UNSIGNED_INTEGER, 20", // -1
    "FLOAT, 6133", // a text
    "INTEGER, c4821a3b9ac9ff01", // 1e999999999
    "FLOAT, c4821a3b9ac9ff01",
  })
  void cbor_that_is_no_value_of_its_type_is_refused(Type type, String hex) {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, TYPES.indexOf(type));
    byte[] cbor = HexFormat.of().parseHex(hex);
    assertThrows(CodecException.class, () -> read(cbor, ContentFormat.CBOR, path));
  }

  @Test
  void value_of_a_resource_without_a_model_is_kept() {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, 999);
    byte[] tlv = HexFormat.of().parseHex("e103e7c8");
    LwM2mResource read = (LwM2mResource) read(tlv, ContentFormat.TLV, path);
    assertValue(Type.OPAQUE, new byte[] {(byte) 0xc8}, read.getType(), read.getValue());
  }

  private Object tlv(Type type, String hex) {
    LwM2mPath path = new LwM2mPath(OBJECT, 0, TYPES.indexOf(type));
    byte[] value = HexFormat.of().parseHex(hex);
    int length = value.length;
    byte[] header =
        length < 8
            ? new byte[] {(byte) (0xc0 | length), path.getResourceId().byteValue()}
            : new byte[] {(byte) 0xc8, path.getResourceId().byteValue(), (byte) length};
    byte[] tlv = new byte[header.length + length];
    System.arraycopy(header, 0, tlv, 0, header.length);
    System.arraycopy(value, 0, tlv, header.length, length);
    return ((LwM2mResource) read(tlv, ContentFormat.TLV, path)).getValue();
  }

  private LwM2mNode read(byte[] payload, ContentFormat format, LwM2mPath path) {
    return decoder.decodeTimestampedData(payload, format, null, path, MODEL).get(0).getNode();
  }

  private LwM2mNode thereAndBack(String format, LwM2mPath path, LwM2mNode node) {
    byte[] payload = encoder.encode(node, FORMATS.get(format), null, path, MODEL);
    return read(payload, FORMATS.get(format), path);
  }

  private static void assertNumber(Type type, String value, LwM2mNode node) {
    LwM2mResource resource = (LwM2mResource) node;
    assertEquals(type, resource.getType());
    Object read = resource.getValue();
    assertEquals(value, read instanceof Date date ? "" + date.getTime() : read.toString());
  }

  private static void assertSame(LwM2mResource wanted, LwM2mNode node) {
    LwM2mResource read = (LwM2mResource) node;
    assertValue(wanted.getType(), wanted.getValue(), read.getType(), read.getValue());
  }

  private static void assertValue(Type type, Object value, Type readType, Object read) {
    assertEquals(type, readType);
    if (value instanceof byte[] bytes) {
      assertArrayEquals(bytes, (byte[]) read);
    } else if (value instanceof Link[] links) {
      assertEquals(List.of(links).toString(), List.of((Link[]) read).toString());
    } else {
      assertEquals(value, read);
    }
  }

  private static List<Object> values(Type type) {
    return switch (type) {
      case STRING -> List.of("", "a \"b\" \\ \u0001 é\uD83D\uDE00", "0", "x".repeat(300));
      case INTEGER ->
          List.of(
              0L,
              -1L,
              127L,
              128L,
              -128L,
              -129L,
              32768L,
              -32769L,
              1L << 31,
              -1L << 33,
              Long.MAX_VALUE,
              Long.MIN_VALUE);
      case UNSIGNED_INTEGER ->
          Stream.of(
                  "0",
                  "127",
                  "128",
                  "200",
                  "255",
                  "256",
                  "32768",
                  "65535",
                  "2147483648",
                  "4294967295",
                  "9223372036854775807",
                  "9223372036854775808",
                  "18446744073709551615")
              .<Object>map(ULong::valueOf)
              .toList();
      case FLOAT -> List.of(0.0, 24.9, 35.0, -1.0E-7, 1.0E300, Double.MAX_VALUE, Double.MIN_VALUE);
      case BOOLEAN -> List.of(true, false);
      case TIME ->
          List.of(
              new Date(0),
              new Date(1_700_000_000_000L),
              new Date(-86_400_000L),
              new Date(253_402_300_799_000L));
      case OPAQUE -> List.of(new byte[0], new byte[] {0, -1, 16}, new byte[300]);
      case OBJLNK ->
          List.of(new ObjectLink(3303, 1), new ObjectLink(0, 0), new ObjectLink(65535, 65535));
      case CORELINK -> List.<Object>of((Object) new Link[] {new Link("/3"), new Link("/5/0")});
      default -> throw new AssertionError(type);
    };
  }

  private static ObjectModel model() {
    return new ObjectModel(
        OBJECT,
        "Everything",
        null,
        "1.0",
        true,
        false,
        Stream.of(false, true)
            .flatMap(multiple -> TYPES.stream().map(type -> resource(type, multiple)))
            .toList());
  }

  private static ResourceModel resource(Type type, boolean multiple) {
    int id = TYPES.indexOf(type) + (multiple ? MULTIPLE : 0);
    return new ResourceModel(
        id, type.name(), Operations.RW, multiple, false, type, null, null, null);
  }
}
