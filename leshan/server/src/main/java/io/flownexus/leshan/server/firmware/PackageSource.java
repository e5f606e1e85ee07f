package io.flownexus.leshan.server.firmware;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads firmware packages by offset from the server that has them, a window of 16 KiB ahead.
 *
 * <p>A window serves the blocks of one device; so many are kept, and each for a few seconds, so
 * that memory is bounded and a package that was retired is noticed. All devices together get so
 * many blocks a second that others' values and answers are not held up.
 */
public final class PackageSource {

  private static final int WINDOW = 16 * 1024;
  private static final int MAX_WINDOWS = 512; // 8 MiB
  private static final long WINDOW_AGE_NANOS = TimeUnit.SECONDS.toNanos(10);
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final int THREADS = 2;
  private static final int BLOCKS_PER_SECOND = 2500;
  private static final Duration LONGEST_WAIT = Duration.ofMillis(500); // well below ACK_TIMEOUT
  private static final long SHORTEST_WAIT_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
  private static final int PARTIAL_CONTENT = 206;
  private static final int NOT_FOUND = 404;
  private static final int NOT_SATISFIABLE = 416;
  private static final int ETAG_DIGITS = 16; // 8 bytes, as long as a CoAP ETag may be
  private static final Pattern TOKEN = Pattern.compile("[A-Za-z0-9_-]{20,60}");
  private static final Pattern CONTENT_RANGE = Pattern.compile("bytes \\d+-\\d+/(\\d{1,18})");
  private static final Pattern ETAG = Pattern.compile("\"([0-9a-f]{64})\"");

  private final URI base;
  private final HttpClient client;
  private final Executor executor;
  private final Pace pace = new Pace(BLOCKS_PER_SECOND, LONGEST_WAIT, System::nanoTime);
  private final Map<Reader, Window> windows =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Reader, Window> eldest) {
          return size() > MAX_WINDOWS;
        }
      };

  /** Read from the server at this URL. */
  public PackageSource(URI base) {
    this.base = base;
    AtomicInteger threads = new AtomicInteger();
    executor =
        Executors.newFixedThreadPool(
            THREADS,
            task -> {
              Thread thread = new Thread(task, "firmware-" + threads.incrementAndGet());
              thread.setDaemon(true);
              return thread;
            });
    client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(TIMEOUT)
            .executor(executor)
            .build();
  }

  /**
   * A part of a package: its bytes, the package's size, and what tells one package from another.
   */
  public record Part(byte[] bytes, long size, byte[] etag) {}

  /** Says that there is no package, or not any more. */
  public static final class NoPackage extends IOException {
    private static final long serialVersionUID = 1L;
  }

  /** Says that the package ends before this part. */
  public static final class NoPart extends IOException {
    private static final long serialVersionUID = 1L;
  }

  private record Reader(String token, String endpoint) {}

  private record Window(long start, byte[] bytes, long size, byte[] etag, long readAt) {

    boolean has(long offset) {
      return start == offset - offset % WINDOW && System.nanoTime() - readAt < WINDOW_AGE_NANOS;
    }

    Part part(long offset, int length) throws NoPart {
      int from = (int) (offset - start);
      if (from >= bytes.length) {
        throw new NoPart();
      }
      byte[] part = Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + length));
      return new Part(part, size, etag);
    }
  }

  /**
   * Read a part for the device with this endpoint name, null where nobody knows it; fails with
   * NoPackage, NoPart or another IOException. A length that divides 16 KiB does not cross windows.
   */
  public CompletableFuture<Part> read(String token, String endpoint, long offset, int length) {
    if (!TOKEN.matcher(token).matches()) {
      return CompletableFuture.failedFuture(new NoPackage());
    }
    Reader reader = new Reader(token, endpoint);
    long wait = pace.take();
    if (wait < SHORTEST_WAIT_NANOS) {
      return part(reader, offset, length);
    }
    // Who waits holds no window meanwhile.
    return CompletableFuture.supplyAsync(
            () -> part(reader, offset, length),
            CompletableFuture.delayedExecutor(wait, TimeUnit.NANOSECONDS, executor))
        .thenCompose(Function.identity());
  }

  private CompletableFuture<Part> part(Reader reader, long offset, int length) {
    Window known;
    synchronized (windows) {
      known = windows.get(reader);
    }
    CompletableFuture<Window> window =
        known != null && known.has(offset)
            ? CompletableFuture.completedFuture(known)
            : fetch(reader, offset - offset % WINDOW);
    return window.thenCompose(
        found -> {
          try {
            return CompletableFuture.completedFuture(found.part(offset, length));
          } catch (NoPart error) {
            return CompletableFuture.failedFuture(error);
          }
        });
  }

  private CompletableFuture<Window> fetch(Reader reader, long start) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(base.resolve(reader.token))
            .timeout(TIMEOUT)
            .header("Range", "bytes=%d-%d".formatted(start, start + WINDOW - 1));
    if (reader.endpoint != null) {
      request.header("X-Endpoint", URLEncoder.encode(reader.endpoint, StandardCharsets.UTF_8));
    }
    return client
        .sendAsync(
            request.build(),
            info ->
                info.statusCode() == PARTIAL_CONTENT
                    ? BodySubscribers.ofByteArray()
                    : BodySubscribers.replacing(new byte[0]))
        .orTimeout(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
        .thenCompose(answer -> window(reader, start, answer));
  }

  private CompletableFuture<Window> window(Reader reader, long start, HttpResponse<byte[]> answer) {
    if (answer.statusCode() == NOT_FOUND) {
      return CompletableFuture.failedFuture(new NoPackage());
    } else if (answer.statusCode() == NOT_SATISFIABLE) {
      return CompletableFuture.failedFuture(new NoPart());
    }
    Matcher range = CONTENT_RANGE.matcher(answer.headers().firstValue("Content-Range").orElse(""));
    Matcher etag = ETAG.matcher(answer.headers().firstValue("ETag").orElse(""));
    if (answer.statusCode() != PARTIAL_CONTENT || !range.matches() || !etag.matches()) {
      return CompletableFuture.failedFuture(
          new IOException("the server of packages answers " + answer.statusCode()));
    }
    Window window =
        new Window(
            start,
            answer.body(),
            Long.parseLong(range.group(1)),
            HexFormat.of().parseHex(etag.group(1).substring(0, ETAG_DIGITS)),
            System.nanoTime());
    synchronized (windows) {
      windows.put(reader, window);
    }
    return CompletableFuture.completedFuture(window);
  }
}
