package io.flownexus.leshan.server.webhook;

import java.io.ByteArrayOutputStream;
import java.net.InetSocketAddress;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Token;

/** What a message and its retransmissions have in common, and no other message within 247 s. */
public record MessageId(InetSocketAddress peer, int mid, Token token) {

  /** Return the id of a message that came in. */
  public static MessageId of(Message message) {
    return new MessageId(
        message.getSourceContext().getPeerAddress(), message.getMID(), message.getToken());
  }

  /** Write address, port, message id and token, each length before what it is the length of. */
  public void writeTo(ByteArrayOutputStream out) {
    byte[] address = peer.getAddress().getAddress();
    out.write(address.length);
    out.writeBytes(address);
    out.write(peer.getPort() >> 8);
    out.write(peer.getPort());
    out.write(mid >> 8);
    out.write(mid);
    out.write(token.length());
    out.writeBytes(token.getBytes());
  }
}
