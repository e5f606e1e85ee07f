package io.flownexus.leshan.server.firmware;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
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
 * many blocks a second that others' values and answers are not held up. Who is not registered and
 * asks for a token that nobody has had a block of has far fewer turns, and other threads: anybody
 * may try tokens.
 */
public final class PackageSource {

  private static final int WINDOW = 16 * 1024;
  private static final int MAX_WINDOWS = 1024; // 16 MiB
  private static final int MAX_RIGHT_TOKENS = 4096;
  private static final long WINDOW_AGE_NANOS = TimeUnit.SECONDS.toNanos(10);
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final int THREADS = 2;
  private static final int FETCHERS = 16;
  private static final int STRANGERS_FETCHERS = 8;
  private static final int BLOCKS_PER_SECOND = 2500;
  private static final int MAX_PEERS = 4096;
  private static final int STRANGERS_BLOCKS_PER_SECOND = 250;
  private static final int MAX_STRANGERS = 125; // none waits for longer than the longest wait
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
  private final Executor executor = threads("firmware-", THREADS);
  private final Executor fetchers = threads("firmware-fetch-", FETCHERS);
  private final Executor strangersFetchers = threads("firmware-try-", STRANGERS_FETCHERS);
  private final Pace pace = new Pace(BLOCKS_PER_SECOND, LONGEST_WAIT, System::nanoTime);
  private final Turns turns = new Turns(pace, MAX_PEERS);
  private final Turns strangersTurns =
      new Turns(
          new Pace(STRANGERS_BLOCKS_PER_SECOND, LONGEST_WAIT, System::nanoTime), MAX_STRANGERS);
  private final Map<Reader, Window> windows = newest(MAX_WINDOWS);
  private final Map<String, Boolean> rightTokens = newest(MAX_RIGHT_TOKENS);

  /** Read from the server at this URL. */
  public PackageSource(URI base) {
    this.base = base;
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

  /** Says that too many ask at once, or that this one has asked for a block that is under way. */
  public static final class NoTurn extends IOException {
    private static final long serialVersionUID = 1L;
  }

  /**
   * Who asks: its address, its endpoint name, null where nobody knows it, and whether it is
   * registered or has proved who it is.
   */
  public record Asker(InetSocketAddress address, String endpoint, boolean known) {}

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
   * Read a part for a device that this server writes it to, so that it is one part at a time; fails
   * with NoPackage, NoPart or another IOException. A length that divides 16 KiB does not cross
   * windows.
   */
  CompletableFuture<Part> read(String token, String endpoint, long offset, int length) {
    if (!TOKEN.matcher(token).matches()) {
      return CompletableFuture.failedFuture(new NoPackage());
    }
    return read(new Reader(token, endpoint), offset, length, pace.take(), fetchers);
  }

  /** The same for who asks by itself; fails with NoTurn as well. */
  public CompletableFuture<Part> read(String token, Asker asker, long offset, int length) {
    if (!TOKEN.matcher(token).matches()) {
      return CompletableFuture.failedFuture(new NoPackage());
    }
    boolean known = asker.known() || rightTokens.get(token) != null;
    Turns taken = known ? turns : strangersTurns;
    long wait = taken.take(asker.address());
    if (wait < 0) {
      return CompletableFuture.failedFuture(new NoTurn());
    }
    Reader reader = new Reader(token, asker.endpoint());
    return read(reader, offset, length, wait, known ? fetchers : strangersFetchers)
        .whenComplete((part, error) -> taken.end(asker.address()));
  }

  private CompletableFuture<Part> read(
      Reader reader, long offset, int length, long wait, Executor fetching) {
    if (wait < SHORTEST_WAIT_NANOS) {
      return part(reader, offset, length, fetching);
    }
    // Who waits holds no window meanwhile.
    return CompletableFuture.supplyAsync(
            () -> part(reader, offset, length, fetching),
            CompletableFuture.delayedExecutor(wait, TimeUnit.NANOSECONDS, executor))
        .thenCompose(Function.identity());
  }

  private CompletableFuture<Part> part(Reader reader, long offset, int length, Executor fetching) {
    Window known = windows.get(reader);
    CompletableFuture<Window> window =
        known != null && known.has(offset)
            ? CompletableFuture.completedFuture(known)
            // One that no thread has begun with in time is not begun with.
            : CompletableFuture.supplyAsync(() -> fetch(reader, offset - offset % WINDOW), fetching)
                .orTimeout(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
    return window.thenCompose(
        found -> {
          try {
            return CompletableFuture.completedFuture(found.part(offset, length));
          } catch (NoPart error) {
            return CompletableFuture.failedFuture(error);
          }
        });
  }

  private Window fetch(Reader reader, long start) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(base.resolve(reader.token))
            .timeout(TIMEOUT)
            .header("Range", "bytes=%d-%d".formatted(start, start + WINDOW - 1));
    if (reader.endpoint != null) {
      request.header("X-Endpoint", URLEncoder.encode(reader.endpoint, StandardCharsets.UTF_8));
    }
    try {
      HttpResponse<byte[]> answer =
          client.send(
              request.build(),
              info ->
                  info.statusCode() == PARTIAL_CONTENT
                      ? BodySubscribers.ofByteArray()
                      : BodySubscribers.replacing(new byte[0]));
      return window(reader, start, answer);
    } catch (IOException error) {
      throw new CompletionException(error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new CompletionException(error);
    }
  }

  private Window window(Reader reader, long start, HttpResponse<byte[]> answer) throws IOException {
    if (answer.statusCode() == NOT_FOUND) {
      rightTokens.remove(reader.token);
      throw new NoPackage();
    } else if (answer.statusCode() == NOT_SATISFIABLE) {
      throw new NoPart();
    }
    Matcher range = CONTENT_RANGE.matcher(answer.headers().firstValue("Content-Range").orElse(""));
    Matcher etag = ETAG.matcher(answer.headers().firstValue("ETag").orElse(""));
    if (answer.statusCode() != PARTIAL_CONTENT || !range.matches() || !etag.matches()) {
      throw new IOException("the server of packages answers " + answer.statusCode());
    }
    Window window =
        new Window(
            start,
            answer.body(),
            Long.parseLong(range.group(1)),
            HexFormat.of().parseHex(etag.group(1).substring(0, ETAG_DIGITS)),
            System.nanoTime());
    windows.put(reader, window);
    rightTokens.put(reader.token, true);
    return window;
  }

  private static <K, V> Map<K, V> newest(int most) {
    return Collections.synchronizedMap(
        new LinkedHashMap<>(16, 0.75f, true) {
          private static final long serialVersionUID = 1L;

          @Override
          protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
            return size() > most;
          }
        });
  }

  private static Executor threads(String name, int count) {
    AtomicInteger threads = new AtomicInteger();
    return Executors.newFixedThreadPool(
        count,
        task -> {
          Thread thread = new Thread(task, name + threads.incrementAndGet());
          thread.setDaemon(true);
          return thread;
        });
  }
}
