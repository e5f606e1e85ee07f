package io.flownexus.leshan.server.coap;

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.option.BlockOption;

/**
 * Requests whose blocks are still coming (RFC 7959, 2.5), within bounds.
 *
 * <p>A body takes the memory of what came of it, not of what may come. Where there is no room, the
 * peer that has been silent for longest loses what it sent: its next block no longer follows, and
 * it begins again.
 */
final class Uploads {

  /** What one peer may have under way; the oldest gives way. */
  static final int MAX_UPLOADS_PER_PEER = 4;

  private static final int OVERHEAD = 2048; // of a request that is kept, with its options
  private static final int FIRST_BUFFER = 1024;
  private static final long IDLE_NANOS = 247_000_000_000L;
  private static final byte[] NOTHING = {};

  /** Says why a block is not taken; what came before it is dropped. */
  static final class Refusal extends Exception {

    private static final long serialVersionUID = 1L;

    private final ResponseCode code;

    private Refusal(ResponseCode code, String reason) {
      super(reason, null, false, false);
      this.code = code;
    }

    ResponseCode code() {
      return code;
    }
  }

  /** A request whose body is complete. */
  record Whole(Request first, byte[] body) {}

  private static final class Upload {

    private final Request first;
    private byte[] buffer = new byte[FIRST_BUFFER];
    private int length;

    private Upload(Request first) {
      this.first = first;
    }

    private boolean isOf(Request block) {
      return first.getCode() == block.getCode()
          && first.getOptions().getUriString().equals(block.getOptions().getUriString());
    }
  }

  private static final class Peer {

    private final List<Upload> uploads = new ArrayList<>(1);
    private long touched;
  }

  private final int maxBody;
  private final long maxBytes;
  private final Map<InetSocketAddress, Peer> peers = new LinkedHashMap<>(16, 0.75f, true);
  private long bytes;

  /** Bound each body, and the memory of all together. */
  Uploads(int maxBody, long maxBytes) {
    this.maxBody = maxBody;
    this.maxBytes = maxBytes;
  }

  /** Return how large a body may be. */
  int maxBody() {
    return maxBody;
  }

  /** Return how much memory all together take. */
  synchronized long bytes() {
    return bytes;
  }

  /**
   * Take a block; a first one begins anew.
   *
   * @return the whole request after its last block, else null
   */
  synchronized Whole take(InetSocketAddress address, Request request, long nanos) throws Refusal {
    BlockOption block = request.getOptions().getBlock1();
    byte[] payload = request.getPayload() == null ? NOTHING : request.getPayload();
    Peer peer = peers.get(address);
    Upload upload = peer == null ? null : find(peer, request);
    try {
      if (request.getOptions().hasSize1() && request.getOptions().getSize1() > maxBody) {
        throw tooLarge();
      }
      if (block.getNum() > 0 && (upload == null || upload.length != block.getOffset())) {
        throw incomplete("this block does not follow: begin again");
      }
      if (block.isM() && payload.length != block.getSize()) {
        throw incomplete("this block is not as long as it says");
      }
      if (block.getNum() == 0) {
        drop(peer, upload);
        peer = peers.computeIfAbsent(address, key -> new Peer());
        upload = begin(peer, request);
      } else if (upload.first.getOptions().getContentFormat()
          != request.getOptions().getContentFormat()) {
        throw incomplete("another Content-Format than the first block's");
      }
      append(upload, payload);
    } catch (Refusal refusal) {
      end(address, peer, upload);
      throw refusal;
    }
    peer.touched = nanos;
    makeRoom(nanos);
    if (block.isM()) {
      return null;
    }
    end(address, peer, upload);
    return new Whole(upload.first, Arrays.copyOf(upload.buffer, upload.length));
  }

  private Upload begin(Peer peer, Request first) {
    if (peer.uploads.size() == MAX_UPLOADS_PER_PEER) {
      drop(peer, peer.uploads.get(0));
    }
    Upload upload = new Upload(first);
    peer.uploads.add(upload);
    bytes += OVERHEAD + upload.buffer.length;
    return upload;
  }

  private void append(Upload upload, byte[] block) throws Refusal {
    int length = upload.length + block.length;
    if (length > maxBody) {
      throw tooLarge();
    }
    if (length > upload.buffer.length) {
      int size = Math.min(maxBody, upload.buffer.length * 2);
      bytes += size - upload.buffer.length;
      upload.buffer = Arrays.copyOf(upload.buffer, size);
    }
    System.arraycopy(block, 0, upload.buffer, upload.length, block.length);
    upload.length = length;
  }

  // The longest silent come first; the one that was just touched comes last, and fits by itself.
  private void makeRoom(long nanos) {
    Iterator<Peer> eldest = peers.values().iterator();
    while (peers.size() > 1) {
      Peer peer = eldest.next();
      if (bytes <= maxBytes && nanos - peer.touched < IDLE_NANOS) {
        return;
      }
      List.copyOf(peer.uploads).forEach(upload -> drop(peer, upload));
      eldest.remove();
    }
  }

  private void end(InetSocketAddress address, Peer peer, Upload upload) {
    drop(peer, upload);
    if (peer != null && peer.uploads.isEmpty()) {
      peers.remove(address);
    }
  }

  private void drop(Peer peer, Upload upload) {
    if (upload != null && peer.uploads.remove(upload)) {
      bytes -= OVERHEAD + upload.buffer.length;
    }
  }

  private Refusal tooLarge() {
    return new Refusal(
        ResponseCode.REQUEST_ENTITY_TOO_LARGE, "a body has " + maxBody + " bytes at most here");
  }

  private static Refusal incomplete(String reason) {
    return new Refusal(ResponseCode.REQUEST_ENTITY_INCOMPLETE, reason);
  }

  private static Upload find(Peer peer, Request block) {
    for (Upload upload : peer.uploads) {
      if (upload.isOf(block)) {
        return upload;
      }
    }
    return null;
  }
}
