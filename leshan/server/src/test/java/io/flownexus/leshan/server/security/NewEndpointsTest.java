package io.flownexus.leshan.server.security;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.flownexus.leshan.server.security.NewEndpoints.Limits;
import java.net.InetAddress;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** How many new endpoints may come. */
class NewEndpointsTest {

  private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 5); // nanoTime may overflow

  @Test
  void address_is_refused_beyond_its_limit_and_others_are_not() throws Exception {
    NewEndpoints limit = new NewEndpoints(new Limits(3, 100), now::get);
    assertEquals(3, admitted(limit, "10.0.0.1", 10));
    assertEquals(3, admitted(limit, "10.0.0.2", 10));
    assertEquals(0, admitted(limit, "10.0.0.1", 10));
  }

  @Test
  void minute_later_as_many_are_let_in_again_and_a_third_of_it_later_a_third() throws Exception {
    NewEndpoints limit = new NewEndpoints(new Limits(3, 100), now::get);
    admitted(limit, "10.0.0.1", 10);
    now.addAndGet(TimeUnit.SECONDS.toNanos(21));
    assertEquals(1, admitted(limit, "10.0.0.1", 10));
    now.addAndGet(TimeUnit.HOURS.toNanos(1));
    assertEquals(3, admitted(limit, "10.0.0.1", 10));
  }

  @Test
  void many_addresses_are_refused_beyond_the_limit_of_all() throws Exception {
    NewEndpoints limit = new NewEndpoints(new Limits(3, 100), now::get);
    int admitted = 0;
    for (int i = 0; i < 200; i++) {
      admitted += admitted(limit, "10.0.1." + i, 2);
    }
    assertEquals(100, admitted);
    now.addAndGet(TimeUnit.SECONDS.toNanos(60));
    assertEquals(3, admitted(limit, "10.0.2.1", 10));
  }

  @Test
  void network_of_an_ipv6_host_counts_as_one_address() throws Exception {
    NewEndpoints limit = new NewEndpoints(new Limits(3, 100), now::get);
    assertEquals(3, admitted(limit, "2001:db8::1", 3));
    assertEquals(0, admitted(limit, "2001:db8::2:1", 3));
    assertEquals(3, admitted(limit, "2001:db8:0:1::1", 3));
  }

  private static int admitted(NewEndpoints limit, String address, int tries) throws Exception {
    InetAddress from = InetAddress.getByName(address);
    return (int) IntStream.range(0, tries).filter(i -> limit.admit(from)).count();
  }
}
