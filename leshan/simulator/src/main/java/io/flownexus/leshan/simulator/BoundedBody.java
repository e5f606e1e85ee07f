package io.flownexus.leshan.simulator;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/** Collects a response's body, and gives up on one that is too long, or at a byte that is set. */
final class BoundedBody implements BodySubscriber<byte[]> {
  private final int limit;
  private final int cutAt;
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private final CompletableFuture<byte[]> body = new CompletableFuture<>();
  private Flow.Subscription subscription;

  /** Give up at byte `cutAt`, as if the connection were lost; 0 is not at all. */
  BoundedBody(int limit, int cutAt) {
    this.limit = limit;
    this.cutAt = cutAt;
  }

  @Override
  public CompletionStage<byte[]> getBody() {
    return body;
  }

  @Override
  public void onSubscribe(Flow.Subscription subscription) {
    this.subscription = subscription;
    subscription.request(Long.MAX_VALUE);
  }

  @Override
  public void onNext(List<ByteBuffer> buffers) {
    for (ByteBuffer buffer : buffers) {
      byte[] chunk = new byte[buffer.remaining()];
      buffer.get(chunk);
      bytes.writeBytes(chunk);
    }
    if (bytes.size() > limit) {
      subscription.cancel();
      body.completeExceptionally(new TooLarge());
    } else if (cutAt > 0 && bytes.size() >= cutAt) {
      subscription.cancel();
      body.completeExceptionally(new Cut(Arrays.copyOf(bytes.toByteArray(), cutAt)));
    }
  }

  @Override
  public void onError(Throwable error) {
    body.completeExceptionally(error);
  }

  @Override
  public void onComplete() {
    body.complete(bytes.toByteArray());
  }

  /** Says that a body was longer than its limit. */
  static final class TooLarge extends IOException {
    private static final long serialVersionUID = 1L;
  }

  /** Says that a body was cut, and what had come of it. */
  static final class Cut extends IOException {
    private static final long serialVersionUID = 1L;
    private final byte[] bytes;

    Cut(byte[] bytes) {
      this.bytes = bytes;
    }

    byte[] bytes() {
      return bytes.clone();
    }
  }
}
