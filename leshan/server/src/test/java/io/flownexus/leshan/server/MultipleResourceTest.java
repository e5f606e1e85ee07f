package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MultipleResourceTest {

  @TempDir Path folder;

  @Test
  void whole_resource_is_put_and_instances_are_posted() throws Exception {
    String node =
        "{\"kind\":\"multiResource\",\"id\":7,\"type\":\"INTEGER\",\"values\":{\"0\":\"5\",\"9\":\"6\"}}";
    try (TestServer server = new TestServer(folder);
        RawDevice device = new RawDevice("raw", server.application.coapPort())) {
      device.register(1);
      assertNotNull(device.answer(1, 5000));
      server.put("/api/clients/raw/3/0/7?replace=true&timeout=2", node);
      server.put("/api/clients/raw/3/0/7?replace=false&timeout=2", node);
      assertEquals(List.of("PUT 3/0/7", "POST 3/0/7"), device.requests);
    }
  }
}
