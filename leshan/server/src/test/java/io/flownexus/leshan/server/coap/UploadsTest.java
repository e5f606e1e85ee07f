package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetSocketAddress;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Request;
import org.junit.jupiter.api.Test;

class UploadsTest {

  private static final int ROOM = 40_000;

  private final Uploads uploads = new Uploads(4096, ROOM);

  @Test
  void memory_of_first_blocks_is_bounded_and_the_longest_silent_peer_gives_way() throws Exception {
    for (int port = 1; port <= 1000; port++) {
      assertNull(take(port, "/rd", 0, true, 16));
      assertTrue(uploads.bytes() <= ROOM);
    }
    assertEquals(ResponseCode.REQUEST_ENTITY_INCOMPLETE, refused(1, "/rd", 1, true, 16));
    assertArrayEquals(new byte[32], take(1000, "/rd", 1, false, 16).body());
  }

  @Test
  void peer_that_goes_on_keeps_what_it_sent_whoever_comes() throws Exception {
    for (int block = 0; block < 100; block++) {
      assertNull(take(1, "/rd", block, true, 16));
      for (int port = 2; port < 8; port++) {
        assertNull(take(1000 * block + port, "/rd", 0, true, 16));
      }
    }
    assertEquals(101 * 16, take(1, "/rd", 100, false, 16).body().length);
  }

  @Test
  void peer_has_four_under_way_at_most() throws Exception {
    for (int path = 0; path <= Uploads.MAX_UPLOADS_PER_PEER; path++) {
      assertNull(take(1, "/" + path, 0, true, 16));
    }
    assertEquals(ResponseCode.REQUEST_ENTITY_INCOMPLETE, refused(1, "/0", 1, true, 16));
    assertEquals(32, take(1, "/1", 1, false, 16).body().length);
  }

  @Test
  void body_is_bounded_and_nothing_is_left_of_one_that_is_larger() throws Exception {
    for (int block = 0; block < 4; block++) {
      assertNull(take(1, "/rd", block, true, 1024));
    }
    assertEquals(ResponseCode.REQUEST_ENTITY_TOO_LARGE, refused(1, "/rd", 4, true, 1024));
    assertEquals(0, uploads.bytes());
    Request announced = request("/rd", 0, true, 1024);
    announced.getOptions().setSize1(4097);
    Uploads.Refusal refusal =
        assertThrows(Uploads.Refusal.class, () -> uploads.take(address(1), announced, 0));
    assertEquals(ResponseCode.REQUEST_ENTITY_TOO_LARGE, refusal.code());
    assertEquals(0, uploads.bytes());
  }

  @Test
  void what_is_complete_leaves_nothing_behind() throws Exception {
    assertNull(take(1, "/rd", 0, true, 16));
    assertEquals(20, take(1, "/rd", 1, false, 4).body().length);
    assertEquals(0, uploads.bytes());
  }

  @Test
  void block_that_is_shorter_than_it_says_is_refused() {
    Request request = request("/rd", 0, true, 1024);
    request.setPayload(new byte[1000]);
    assertThrows(Uploads.Refusal.class, () -> uploads.take(address(1), request, 0));
    assertEquals(0, uploads.bytes());
  }

  private Uploads.Whole take(int port, String path, int block, boolean more, int size)
      throws Uploads.Refusal {
    return uploads.take(address(port), request(path, block, more, size), 0);
  }

  private ResponseCode refused(int port, String path, int block, boolean more, int size) {
    return assertThrows(Uploads.Refusal.class, () -> take(port, path, block, more, size)).code();
  }

  private static Request request(String path, int block, boolean more, int size) {
    Request request = new Request(Code.POST);
    request.getOptions().setUriPath(path);
    request.getOptions().setBlock1(size == 1024 ? 6 : 0, more, block);
    request.setPayload(new byte[size]);
    return request;
  }

  private static InetSocketAddress address(int number) {
    return InetSocketAddress.createUnresolved("peer" + number / 60_000, 1 + number % 60_000);
  }
}
