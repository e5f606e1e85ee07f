package io.flownexus.leshan.server.codec;

import com.upokecenter.cbor.CBORException;
import java.io.IOException;
import java.util.List;
import org.eclipse.leshan.core.request.ContentFormat;

/** Of what the records of a payload are. */
public final class RecordPaths {

  private RecordPaths() {}

  /** Return the names of all records; empty where the payload does not say, or not of all. */
  public static List<String> of(byte[] content, int format) {
    try {
      List<Records.Part> parts =
          switch (format) {
            case ContentFormat.SENML_JSON_CODE -> Records.ofSenMlJson(content);
            case ContentFormat.SENML_CBOR_CODE -> Records.ofSenMlCbor(content);
            case ContentFormat.JSON_CODE -> Records.ofJson(content);
            default -> List.of();
          };
      boolean all = parts.stream().allMatch(part -> part.name() != null);
      return all ? parts.stream().map(Records.Part::name).toList() : List.of();
    } catch (IOException | CBORException e) {
      return List.of();
    }
  }
}
