package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.base.StartupException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.eclipse.leshan.core.LwM2m.Version;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.server.registration.Registration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which model of an object counts for a device. */
class ObjectModelsTest {

  private static final int OBJECT = 33456;

  @TempDir Path folder;

  @BeforeEach
  void write() throws Exception {
    write("1.0", "<Item ID=\"0\"><Name>a</Name><Type>Integer</Type></Item>");
    write(
        "1.1",
        "<Item ID=\"0\"><Name>a</Name><Type>Float</Type></Item>"
            + "<Item ID=\"1\"><Name>b</Name><Type>Time</Type></Item>");
    write("2.0", "<Item ID=\"2\"><Name>c</Name><Type>Boolean</Type></Item>");
  }

  @Test
  void exact_version_counts_where_it_has_the_resource() {
    assertEquals(Type.INTEGER, type("1.0", 0));
    assertEquals(Type.FLOAT, type("1.1", 0));
  }

  @Test
  void resource_that_the_version_lacks_is_that_of_the_newest_that_has_it() {
    assertEquals(Type.TIME, type("1.0", 1));
    assertEquals(Type.BOOLEAN, type("1.0", 2));
    assertEquals(Type.FLOAT, type("2.0", 0));
    assertNull(model("1.0").getResourceModel(OBJECT, 9));
  }

  @Test
  void version_without_a_model_is_read_by_the_newest() {
    assertEquals(Type.BOOLEAN, type("7.3", 2));
    assertEquals(Type.FLOAT, type("7.3", 0));
  }

  @Test
  void object_that_is_not_registered_or_has_no_model_has_no_resources() {
    assertNull(model("1.0").getResourceModel(3303, 5700));
    assertNull(
        ObjectModels.load(folder)
            .getObjectModel(registration(Map.of(33457, new Version("1.0"))))
            .getResourceModel(33457, 0));
  }

  @Test
  void file_that_is_no_model_is_named() throws Exception {
    Files.writeString(folder.resolve("broken.xml"), "<LWM2M>");
    StartupException error = assertThrows(StartupException.class, () -> ObjectModels.load(folder));
    assertTrue(error.getMessage().contains("broken.xml is no object model"), error::getMessage);
  }

  private Type type(String version, int resource) {
    return model(version).getResourceModel(OBJECT, resource).type;
  }

  private LwM2mModel model(String version) {
    return ObjectModels.load(folder)
        .getObjectModel(registration(Map.of(OBJECT, new Version(version))));
  }

  private static Registration registration(Map<Integer, Version> objects) {
    return new Registration.Builder(
            "id",
            "ep",
            new IpPeer(new InetSocketAddress("127.0.0.1", 1)),
            new EndpointUri("coap", "127.0.0.1", 5683))
        .supportedObjects(objects)
        .build();
  }

  private void write(String version, String items) throws Exception {
    String resources =
        items.replace(
            "</Type>",
            "</Type><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>"
                + "<Mandatory>Optional</Mandatory><RangeEnumeration/><Units/><Description/>");
    Files.writeString(
        folder.resolve(version + ".xml"),
        "<LWM2M><Object ObjectType=\"MODefinition\"><Name>x</Name><Description1/>"
            + "<ObjectID>%d</ObjectID><ObjectURN>urn:oma:lwm2m:x:%d:%s</ObjectURN>"
                .formatted(OBJECT, OBJECT, version)
            + "<LWM2MVersion>1.0</LWM2MVersion><ObjectVersion>%s</ObjectVersion>".formatted(version)
            + "<MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>"
            + "<Resources>%s</Resources><Description2/></Object></LWM2M>".formatted(resources));
  }
}
