package io.flownexus.leshan.server;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.californium.core.network.serialization.UdpDataParser;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.elements.AddressEndpointContext;

/**
 * A device that sends what it is told to, under the message ids it is told, and sees each answer.
 */
final class RawDevice implements AutoCloseable {

  private static final int TEXT = 0;
  private static final int LINKS = 40;
  private static final int SENML_JSON = 110;

  private final String endpoint;
  private final InetSocketAddress server;
  private volatile DatagramSocket socket;
  private final Map<Integer, Message> answers = new ConcurrentHashMap<>();
  final List<String> requests = new CopyOnWriteArrayList<>();
  private volatile Token observed;

  /** The tokens of the requests so far, in order. */
  final List<Token> observes = new CopyOnWriteArrayList<>();

  private int observeNumber = 1;
  private volatile int answerNumber;
  private volatile int answerFormat = TEXT;
  private volatile byte[] answerPayload = {'1', '.', '5'};
  private volatile boolean ignoring;
  private volatile boolean answeringTwice;

  /** What came of writes in blocks: that of the last one. */
  final ByteArrayOutputStream written = new ByteArrayOutputStream();

  private volatile int blockExponent = 6;
  private volatile ResponseCode refusal;

  RawDevice(String endpoint, int port) throws IOException {
    this.endpoint = endpoint;
    server = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    open();
  }

  /** Go on from another port, as behind a NAT that has forgotten the device. */
  void move() throws IOException {
    socket.close();
    open();
  }

  /** Send a registration. */
  void register(int mid) throws IOException {
    register(mid, "ep=%s&lt=300&lwm2m=1.1&b=U".formatted(endpoint));
  }

  /** Send a registration with parameters, as the options' text and joined by {@code &}. */
  void register(int mid, String query) throws IOException {
    register(mid, query, "</>;rt=\"oma.lwm2m\";ct=\"0 110\",</1/0>,</3/0>,</3303/0>");
  }

  /** Send a registration with parameters and links. */
  void register(int mid, String query, String links) throws IOException {
    Request request = new Request(Code.POST);
    request.getOptions().addUriPath("rd").setContentFormat(LINKS);
    for (String parameter : query.split("&")) {
      request.getOptions().addUriQuery(parameter);
    }
    request.setPayload(links);
    send(request, mid, new Token(new byte[] {1}));
  }

  /** Send an update with parameters. */
  void update(int mid, String registrationId, String... parameters) throws IOException {
    Request request = new Request(Code.POST);
    request.getOptions().addUriPath("rd").addUriPath(registrationId);
    for (String parameter : parameters) {
      request.getOptions().addUriQuery(parameter);
    }
    send(request, mid, new Token(new byte[] {3}));
  }

  /** Send a LwM2M Send of one temperature. */
  void send(int mid, double value) throws IOException {
    send(mid, SENML_JSON, "[{\"n\":\"/3303/0/5700\",\"v\":%s}]".formatted(value));
  }

  /** Send a LwM2M Send of a text in some content format. */
  void send(int mid, int format, String payload) throws IOException {
    send(mid, format, payload.getBytes(StandardCharsets.UTF_8));
  }

  /** Send a LwM2M Send of this payload. */
  void send(int mid, int format, byte[] payload) throws IOException {
    Request request = new Request(Code.POST);
    request.getOptions().addUriPath("dp").setContentFormat(format);
    request.setPayload(payload);
    send(request, mid, new Token(new byte[] {2}));
  }

  /** Send a block of a POST (RFC 7959, 2.3). */
  void block(int mid, String path, int format, BlockOption block, byte[] payload)
      throws IOException {
    Request request = new Request(Code.POST);
    request.setURI("coap://127.0.0.1:%d%s".formatted(server.getPort(), path));
    request.getOptions().setContentFormat(format);
    request.getOptions().setBlock1(block);
    request.setPayload(payload);
    send(request, mid, new Token(new byte[] {3}));
  }

  /** Ask for a block (RFC 7959, 2.4), or, without one, for a whole resource. */
  void get(int mid, String path, BlockOption block) throws IOException {
    Request request = new Request(Code.GET);
    request.setURI("coap://127.0.0.1:%d%s".formatted(server.getPort(), path));
    if (block != null) {
      request.getOptions().setBlock2(block);
    }
    send(request, mid, new Token(new byte[] {4}));
  }

  /** Send a confirmable notification of 3303/0/5700, which the server must have observed. */
  void notify(int mid, double value) throws IOException {
    notify(mid, observeNumber++, TEXT, Double.toString(value).getBytes(StandardCharsets.UTF_8));
  }

  /** Send a confirmable notification of the last path that was observed, under this number. */
  void notify(int mid, int number, int format, byte[] payload) throws IOException {
    Response response = new Response(ResponseCode.CONTENT);
    response.setType(Type.CON);
    response.getOptions().setObserve(number);
    response.getOptions().setContentFormat(format);
    response.setPayload(payload);
    send(response, mid, observed);
  }

  /** End the last observation by a confirmable error notification. */
  void endObservation(int mid) throws IOException {
    Response response = new Response(ResponseCode.NOT_FOUND);
    response.setType(Type.CON);
    send(response, mid, observed);
  }

  /** Answer each GET twice, as when it comes again before the first answer has arrived. */
  void answerTwice() {
    answeringTwice = true;
  }

  /** Answer no request, or answer again. */
  void ignore(boolean all) {
    ignoring = all;
  }

  /** Take blocks of at most this size (RFC 7959, 2.2), or refuse each with this code. */
  void takeBlocks(int exponent, ResponseCode refusing) {
    blockExponent = exponent;
    refusal = refusing;
  }

  /** Answer requests with this from now on; a number below 0 is no Observe option. */
  void answerWith(int number, int format, byte[] payload) {
    answerNumber = number;
    answerFormat = format;
    answerPayload = payload;
  }

  /** Return the answer to a message, or null when there is none in time. */
  Message answer(int mid, long millis) throws InterruptedException {
    long deadline = System.nanoTime() + millis * 1_000_000;
    Message answer;
    synchronized (answers) {
      while ((answer = answers.remove(mid)) == null) {
        long left = (deadline - System.nanoTime()) / 1_000_000;
        if (left <= 0) {
          return null;
        }
        answers.wait(left);
      }
    }
    return answer;
  }

  @Override
  public void close() {
    socket.close();
  }

  private void open() throws SocketException {
    DatagramSocket opened = new DatagramSocket(0, InetAddress.getLoopbackAddress());
    socket = opened;
    Thread thread = new Thread(() -> receive(opened), endpoint);
    thread.setDaemon(true);
    thread.start();
  }

  private void receive(DatagramSocket from) {
    byte[] buffer = new byte[2048];
    while (true) {
      DatagramPacket packet = new DatagramPacket(buffer, buffer.length);
      try {
        from.receive(packet);
        Message message =
            new UdpDataParser().parseMessage(Arrays.copyOf(buffer, packet.getLength()));
        if (message instanceof Request request) {
          answer(request);
        } else {
          synchronized (answers) {
            answers.put(message.getMID(), message);
            answers.notifyAll();
          }
        }
      } catch (SocketException e) {
        if (from.isClosed()) {
          return;
        }
      } catch (IOException | InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }

  // Requests are told as such: "GET lwm2m/3/0".
  private void answer(Request request) throws IOException, InterruptedException {
    requests.add(request.getCode() + " " + request.getOptions().getUriPathString());
    if (ignoring) {
      return;
    }
    if (request.getOptions().hasBlock1()) {
      Response taken = take(request, request.getOptions().getBlock1());
      taken.setType(Type.ACK);
      send(taken, request.getMID(), request.getToken());
      return;
    }
    if (request.getCode() != Code.GET && request.getCode() != Code.FETCH) {
      Response changed = new Response(ResponseCode.CHANGED);
      changed.setType(Type.ACK);
      send(changed, request.getMID(), request.getToken());
      return;
    }
    if (request.getOptions().hasObserve()) {
      observed = request.getToken();
    }
    observes.add(request.getToken());
    Response response = new Response(ResponseCode.CONTENT);
    response.setType(Type.ACK);
    if (answerNumber >= 0) {
      response.getOptions().setObserve(answerNumber);
    }
    response.getOptions().setContentFormat(answerFormat);
    response.setPayload(answerPayload);
    send(response, request.getMID(), request.getToken());
    if (answeringTwice) {
      Thread.sleep(100);
      send(response, request.getMID(), request.getToken());
    }
  }

  private Response take(Request request, BlockOption block) {
    if (refusal != null) {
      return new Response(refusal);
    }
    int exponent = Math.min(block.getSzx(), blockExponent);
    if (block.getNum() == 0) {
      written.reset();
      if (exponent < block.getSzx()) {
        Response tooLarge = new Response(ResponseCode.REQUEST_ENTITY_TOO_LARGE);
        tooLarge.getOptions().setBlock1(exponent, false, 0);
        return tooLarge;
      }
    }
    if (block.getOffset() != written.size()) {
      return new Response(ResponseCode.REQUEST_ENTITY_INCOMPLETE);
    }
    written.writeBytes(request.getPayload());
    Response taken = new Response(block.isM() ? ResponseCode.CONTINUE : ResponseCode.CHANGED);
    taken.getOptions().setBlock1(exponent, block.isM(), block.getNum());
    return taken;
  }

  private void send(Message message, int mid, Token token) throws IOException {
    message.setMID(mid);
    message.setToken(token);
    message.setDestinationContext(new AddressEndpointContext(server));
    if (message.getType() == null) {
      message.setType(Type.CON);
    }
    byte[] bytes = new UdpDataSerializer().getByteArray(message);
    socket.send(new DatagramPacket(bytes, bytes.length, server));
  }
}
