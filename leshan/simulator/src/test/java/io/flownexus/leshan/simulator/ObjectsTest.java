package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.WriteRequest.Mode;
import org.eclipse.leshan.server.registration.Registration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ObjectsTest {
  @TempDir Path folder;

  private static Set<String> objects(Registration registration) {
    return Arrays.stream(registration.getObjectLinks())
        .map(link -> link.getUriReference())
        .filter(reference -> reference.endsWith("/0"))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  @Test
  void a_group_without_a_list_has_the_same_objects_as_ever() throws Exception {
    try (TestServer server = new TestServer();
        Running running = new Running(folder, server.uri(Protocol.COAP), "prefix=o-,notify=0")) {
      assertEquals(
          Set.of("/1/0", "/3/0", "/5/0", "/20/0", "/3303/0"), objects(server.nextRegistration()));
      assertFalse(running.details("o-0001").get("values").has("/3304/0/5700"));
    }
  }

  @Test
  void a_group_lists_the_objects_of_its_devices() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(
                folder, server.uri(Protocol.COAP), "prefix=o-,notify=50ms,objects=3+3303+3304")) {
      assertEquals(
          Set.of("/1/0", "/3/0", "/3303/0", "/3304/0"), objects(server.nextRegistration()));

      var unit = server.send("o-0001", new ReadRequest(3304, 0, 5701), 10_000).getContent();
      assertEquals("%RH", ((LwM2mSingleResource) unit).getValue());
      server.send("o-0001", new ObserveRequest(3303, 0, 5700), 10_000);
      server.send("o-0001", new ObserveRequest(3304, 0, 5700), 10_000);
      TestServer.await(() -> paths(running).size() == 2, "both in the ledger");

      assertFalse(running.details("o-0001").get("values").has("/5/0/3"));
      assertTrue(running.details("o-0001").get("values").has("/3304/0/5601"));
    }
  }

  @Test
  void a_server_creates_writes_and_deletes_instances_of_object_3341() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(folder, server.uri(Protocol.COAP), "prefix=o-,notify=0,objects=3+3341")) {
      server.nextRegistration();
      assertTrue(running.details("o-0001").get("values").has("/3341/0/5527"));
      var text = LwM2mSingleResource.newStringResource(5527, "new");
      var created = server.send("o-0001", new CreateRequest(3341, text), 10_000);
      assertEquals("3341/1", created.getLocation());
      assertEquals("new", value(server, 5527));

      var number = LwM2mSingleResource.newIntegerResource(5528, 7);
      server.send("o-0001", new WriteRequest(Mode.UPDATE, 3341, 1, number), 10_000);
      assertEquals("new", value(server, 5527));
      assertEquals(7L, value(server, 5528));
      server.send("o-0001", new WriteRequest(Mode.REPLACE, 3341, 1, text), 10_000);
      assertEquals(0L, value(server, 5528));

      assertTrue(server.send("o-0001", new DeleteRequest(3341, 1), 10_000).isSuccess());
      assertTrue(server.send("o-0001", new ReadRequest(3341, 1), 10_000).isFailure());
      assertTrue(server.send("o-0001", new DeleteRequest(3341, 1), 10_000).isFailure());
    }
  }

  private static Object value(TestServer server, int resource) throws Exception {
    var read = server.send("o-0001", new ReadRequest(3341, 1, resource), 10_000);
    return ((LwM2mSingleResource) read.getContent()).getValue();
  }

  private static Set<String> paths(Running running) {
    return running.ledger().stream()
        .map(line -> line.get("path").asText())
        .collect(Collectors.toSet());
  }

  @Test
  void refuses_objects_it_does_not_know_and_devices_without_object_3() {
    for (String bad : new String[] {"objects=3+9999", "objects=", "objects=3303", "objects=3+"}) {
      assertThrows(IllegalArgumentException.class, () -> GroupSpec.parse(bad), bad);
    }
  }
}
