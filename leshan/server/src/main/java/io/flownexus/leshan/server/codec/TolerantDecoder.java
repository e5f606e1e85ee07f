package io.flownexus.leshan.server.codec;

import com.upokecenter.cbor.CBORException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.node.codec.CodecException;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.NodeDecoder;
import org.eclipse.leshan.core.request.ContentFormat;

/**
 * Reads notifications and Sends as Leshan does, and where that fails, record by record.
 *
 * <p>An answer that brings a history is read to {@link AnswerHistory}.
 *
 * <p>Then it throws an {@link UnreadableException} with the nodes that can be read and the parts
 * that cannot. What can be read as a whole is read as before, and costs nothing more.
 */
final class TolerantDecoder extends DefaultLwM2mDecoder {

  private final Predicate<UnreadableException> keeper;

  TolerantDecoder(Map<ContentFormat, NodeDecoder> decoders, Predicate<UnreadableException> keeper) {
    super(decoders);
    this.keeper = keeper;
  }

  @Override
  public List<TimestampedLwM2mNode> decodeTimestampedData(
      byte[] content, ContentFormat format, String rootPath, LwM2mPath path, LwM2mModel model) {
    try {
      check(content, format);
      return AnswerHistory.newest(
          content, super.decodeTimestampedData(content, format, rootPath, path, model));
    } catch (RuntimeException e) {
      throw salvage(content, format, rootPath, List.of(path), model, e);
    }
  }

  @Override
  public TimestampedLwM2mNodes decodeTimestampedNodes(
      byte[] content,
      ContentFormat format,
      String rootPath,
      List<LwM2mPath> paths,
      LwM2mModel model) {
    try {
      check(content, format);
      return AnswerHistory.newest(
          content, super.decodeTimestampedNodes(content, format, rootPath, paths, model));
    } catch (RuntimeException e) {
      UnreadableException unreadable = salvage(content, format, rootPath, paths, model, e);
      boolean send = paths == null;
      if (send && !unreadable.good().isEmpty() && keeper.test(unreadable)) {
        return unreadable.good();
      }
      throw unreadable;
    }
  }

  private static void check(byte[] content, ContentFormat format) {
    if (content != null
        && (ContentFormat.SENML_JSON.equals(format) || ContentFormat.JSON.equals(format))) {
      JsonText.check(content);
    }
  }

  private UnreadableException salvage(
      byte[] content,
      ContentFormat format,
      String rootPath,
      List<LwM2mPath> wanted,
      LwM2mModel model,
      RuntimeException error) {
    if (error instanceof UnreadableException unreadable) {
      return unreadable;
    }
    TimestampedLwM2mNodes.Builder good =
        TimestampedLwM2mNodes.builder().raiseExceptionOnDuplicate(false);
    List<Rejected> rejected = new ArrayList<>();
    for (Records.Part part : parts(content, format)) {
      try {
        LwM2mPath path = path(part.name(), normalizedRootPath(rootPath));
        requireWanted(path, wanted);
        check(part.payload(), format);
        super.decodeTimestampedData(part.payload(), format, rootPath, path, model)
            .forEach(node -> good.put(node.getTimestamp(), path, node.getNode()));
      } catch (RuntimeException e) {
        rejected.add(new Rejected(part.name(), reason(e), part.payload()));
      }
    }
    if (rejected.isEmpty()) { // not for a value of its own: nothing of it is to be believed
      byte[] bytes = content == null ? new byte[0] : content;
      String path = wanted != null && wanted.size() == 1 ? wanted.get(0).toString() : null;
      return new UnreadableException(
          TimestampedLwM2mNodes.builder().build(),
          List.of(new Rejected(path, reason(error), bytes)),
          code(format));
    }
    return new UnreadableException(good.build(), rejected, code(format));
  }

  // Empty where the payload is one value, or cannot be taken apart.
  private static List<Records.Part> parts(byte[] content, ContentFormat format) {
    try {
      if (content == null || format == null) {
        return List.of();
      }
      return switch (format.getCode()) {
        case ContentFormat.SENML_JSON_CODE -> Records.ofSenMlJson(content);
        case ContentFormat.SENML_CBOR_CODE -> Records.ofSenMlCbor(content);
        case ContentFormat.JSON_CODE -> Records.ofJson(content);
        default -> List.of();
      };
    } catch (IOException | CBORException e) {
      return List.of();
    }
  }

  private static LwM2mPath path(String name, String rootPath) {
    if (name == null) {
      throw new CodecException("a record has no name");
    }
    boolean below = rootPath != null && name.startsWith(rootPath + "/");
    LwM2mPath path = new LwM2mPath(below ? name.substring(rootPath.length()) : name);
    if (!path.isResource() && !path.isResourceInstance()) {
      throw new CodecException("%s is no path of a resource or resource instance", name);
    }
    return path;
  }

  private static void requireWanted(LwM2mPath path, List<LwM2mPath> wanted) {
    if (wanted != null && wanted.stream().noneMatch(path::startWith)) {
      throw new CodecException("%s was not asked for, but %s", path, wanted);
    }
  }

  private static Integer code(ContentFormat format) {
    return format == null ? null : format.getCode();
  }

  // The cause at the bottom is the one that names what is wrong.
  private static String reason(Throwable error) {
    Throwable cause = error;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    String message = cause.getMessage();
    return message == null ? cause.getClass().getSimpleName() : message;
  }
}
