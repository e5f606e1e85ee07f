package io.flownexus.leshan.server.firmware;

import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.BlockOption;

/**
 * Marks a request that is one block of a push, and holds what its answer says of blocks (RFC 7959,
 * 2.3): Californium takes such an answer for one to a whole body.
 */
public final class BlockAnswer extends MessageObserverAdapter {

  private volatile BlockOption block;
  private volatile ResponseCode code;

  /** Keep what an answer says, before it goes up the stack. */
  public void keep(Response answer) {
    block = answer.getOptions().getBlock1();
    code = answer.getCode();
  }

  /** Return whether the device waits for the next block. */
  boolean goesOn() {
    return code == ResponseCode.CONTINUE;
  }

  /** Return whether the block, or the whole body, is too large for the device. */
  boolean isTooLarge() {
    return code == ResponseCode.REQUEST_ENTITY_TOO_LARGE;
  }

  /** Return the exponent of the block size that the device wants, at most this one. */
  int exponent(int most) {
    BlockOption told = block;
    return told == null ? most : Math.min(most, told.getSzx());
  }
}
