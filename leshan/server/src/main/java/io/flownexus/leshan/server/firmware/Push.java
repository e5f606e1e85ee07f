package io.flownexus.leshan.server.firmware;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.WriteRequest.Mode;
import org.eclipse.leshan.core.request.exception.InvalidResponseException;
import org.eclipse.leshan.core.request.exception.RequestCanceledException;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.registration.Registration;

/**
 * Writes a package to a device block by block (RFC 7959, 2.5), one block at a time, for as long as
 * somebody asks how far it is. Of the package no more is in memory than {@link PackageSource} reads
 * ahead.
 */
final class Push {

  /** For so long nobody may ask. */
  static final long LEASE_NANOS = TimeUnit.MINUTES.toNanos(3);

  private static final int FIRST_EXPONENT = 5; // 512 bytes; the device may want less
  private static final long BLOCK_TIMEOUT_MILLIS = 100_000; // MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2)

  private final LeshanServer server;
  private final PackageSource packages;
  private final Registration registration;
  private final LwM2mPath path;
  private final String token;
  private final Duration pace;
  private final CompletableFuture<LwM2mResponse> end = new CompletableFuture<>();
  private volatile long askedAt = System.nanoTime();
  private volatile long sent;
  private volatile long size;
  private final long began = System.nanoTime();
  private long blocks;
  private int exponent = FIRST_EXPONENT;

  Push(
      LeshanServer server,
      PackageSource packages,
      Registration registration,
      LwM2mPath path,
      String token,
      Duration pace) {
    this.server = server;
    this.packages = packages;
    this.registration = registration;
    this.path = path;
    this.token = token;
    this.pace = pace;
  }

  /** Return whether it is the one that is asked for. */
  boolean isOf(Registration asked, LwM2mPath to, String of) {
    return registration.getId().equals(asked.getId()) && path.equals(to) && token.equals(of);
  }

  /** Return the device's answer to the last block, or to the one that it did not take. */
  CompletableFuture<LwM2mResponse> end() {
    return end;
  }

  long sent() {
    return sent;
  }

  long size() {
    return size;
  }

  /** Note that somebody asks. */
  void asked() {
    askedAt = System.nanoTime();
  }

  boolean isForgotten() {
    return System.nanoTime() - askedAt > LEASE_NANOS;
  }

  /** Give up: no further block is sent. */
  void cancel(String why) {
    end.completeExceptionally(new RequestCanceledException(why));
  }

  /** Return whether it writes to this object instance, or below it. */
  boolean concerns(LwM2mPath other) {
    return path.getObjectId().equals(other.getObjectId())
        && path.getObjectInstanceId().equals(other.getObjectInstanceId());
  }

  /** Send the next block. */
  void go() {
    if (isForgotten()) {
      cancel("nobody asked for it any more");
    }
    if (end.isDone()) {
      return;
    }
    packages
        .read(token, registration.getEndpoint(), sent, BlockOption.szx2Size(exponent))
        .whenComplete(
            (part, error) -> {
              if (error == null) {
                write(part);
              } else {
                fail(error instanceof CompletionException ? error.getCause() : error);
              }
            });
  }

  /** Send the next block, no sooner than the pace allows. */
  private void goInTime() {
    blocks++;
    long early = began + blocks * pace.toNanos() - System.nanoTime();
    if (early > 0) {
      CompletableFuture.delayedExecutor(early, TimeUnit.NANOSECONDS).execute(this::go);
    } else {
      go();
    }
  }

  private void write(PackageSource.Part part) {
    size = part.size();
    long reached = sent + part.bytes().length;
    boolean more = reached < part.size();
    BlockAnswer answer = new BlockAnswer();
    WriteRequest block =
        new WriteRequest(
            Mode.REPLACE,
            ContentFormat.OPAQUE,
            path.toString(),
            LwM2mSingleResource.newBinaryResource(path.getResourceId(), part.bytes()));
    try {
      server.send(
          registration,
          block,
          lower -> {
            if (lower instanceof Request coap) {
              int number = (int) (sent / BlockOption.szx2Size(exponent));
              coap.getOptions().setBlock1(exponent, more, number);
              if (number == 0) {
                coap.getOptions().setSize1(Math.toIntExact(part.size()));
              }
              coap.addMessageObserver(answer);
            }
          },
          BLOCK_TIMEOUT_MILLIS,
          response -> answered(response, answer, reached),
          this::fail);
    } catch (RuntimeException error) {
      fail(error);
    }
  }

  private void answered(LwM2mResponse response, BlockAnswer answer, long reached) {
    int wanted = answer.exponent(exponent);
    if (answer.goesOn() && reached >= size) {
      fail(new InvalidResponseException("the device awaits more than the package has"));
    } else if (answer.goesOn()) {
      sent = reached;
      exponent = wanted;
      goInTime();
    } else if (answer.isTooLarge() && sent == 0 && wanted < exponent) {
      exponent = wanted;
      go();
    } else if (answer.isTooLarge()) {
      end.complete(new WriteResponse(ResponseCode.REQUEST_ENTITY_TOO_LARGE, null));
    } else {
      sent = response.isSuccess() ? reached : sent;
      end.complete(response);
    }
  }

  private void fail(Throwable error) {
    end.completeExceptionally(error);
  }
}
