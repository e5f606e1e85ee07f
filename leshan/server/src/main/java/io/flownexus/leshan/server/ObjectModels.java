package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.StartupException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.eclipse.leshan.core.LwM2m.Version;
import org.eclipse.leshan.core.model.InvalidDDFFileException;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.LwM2mModelRepository;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.server.model.LwM2mModelProvider;
import org.eclipse.leshan.server.registration.Registration;

/**
 * Knows the object models: Leshan's own, those unpacked at build time, those of a folder, and those
 * that users add while it runs.
 */
final class ObjectModels implements LwM2mModelProvider {

  private static final String RESOURCES = "oma-models";

  private final List<ObjectModel> own;
  private volatile Known known;

  private ObjectModels(List<ObjectModel> models) {
    own = models;
    known = new Known(models);
  }

  /** Load all models; of two with the same id and version the later one wins. */
  static ObjectModels load(Path folder) {
    return new ObjectModels(all(folder));
  }

  static List<ObjectModel> all(Path folder) {
    List<ObjectModel> models = new ArrayList<>();
    try {
      for (URL url : packaged()) {
        try (InputStream in = url.openStream()) {
          models.addAll(ObjectLoader.loadDdfFile(in, url.getPath()));
        }
      }
    } catch (IOException | InvalidDDFFileException e) {
      throw new StartupException("cannot read the packaged object models (" + e + ")", e);
    }
    models.addAll(ObjectLoader.loadAllDefault());
    if (folder != null) {
      File directory = folder.toFile();
      if (!directory.isDirectory()) {
        throw new StartupException("--models: " + folder + " is not a folder that can be read");
      }
      models.addAll(ofFolder(directory));
    }
    return models;
  }

  private static List<ObjectModel> ofFolder(File directory) {
    File[] files = directory.listFiles((dir, name) -> name.endsWith(".xml"));
    List<ObjectModel> models = new ArrayList<>();
    for (File file : files == null ? new File[0] : files) {
      try (InputStream in = new FileInputStream(file)) {
        models.addAll(ObjectLoader.loadDdfFile(in, file.getName()));
      } catch (IOException | InvalidDDFFileException e) {
        throw new StartupException(file + " is no object model (" + e.getMessage() + ")", e);
      }
    }
    return models;
  }

  int size() {
    return known.size;
  }

  /** Know these models too, instead of those that were added before. */
  void add(Collection<ObjectModel> added) {
    List<ObjectModel> all = new ArrayList<>(own);
    all.addAll(added);
    known = new Known(all);
  }

  /** Return the newest model of each object. */
  LwM2mModel newest() {
    return new StaticModel(known.newestFirst.values().stream().map(each -> each.get(0)).toList());
  }

  @Override
  public LwM2mModel getObjectModel(Registration registration) {
    return new DeviceModel(known, registration);
  }

  private static List<URL> packaged() throws IOException {
    URL root = ObjectModels.class.getClassLoader().getResource(RESOURCES);
    List<URL> urls = new ArrayList<>();
    if (root == null) {
      return urls;
    }
    if (root.openConnection() instanceof JarURLConnection connection) {
      connection.getJarFile().stream()
          .map(entry -> entry.getName())
          .filter(name -> name.startsWith(RESOURCES + "/") && name.endsWith(".xml"))
          .forEach(name -> urls.add(ObjectModels.class.getClassLoader().getResource(name)));
    } else {
      File[] files = new File(root.getPath()).listFiles((dir, name) -> name.endsWith(".xml"));
      for (File file : files == null ? new File[0] : files) {
        urls.add(file.toURI().toURL());
      }
    }
    return urls;
  }

  private static final class Known {

    private final LwM2mModelRepository repository;
    private final Map<Integer, List<ObjectModel>> newestFirst;
    private final int size;

    Known(Collection<ObjectModel> models) {
      repository = new LwM2mModelRepository(models);
      newestFirst =
          models.stream()
              .sorted(Comparator.comparing((ObjectModel m) -> new Version(m.version)).reversed())
              .collect(Collectors.groupingBy(model -> model.id));
      size = models.size();
    }
  }

  private static final class DeviceModel implements LwM2mModel {

    private final Known known;
    private final Registration registration;

    DeviceModel(Known known, Registration registration) {
      this.known = known;
      this.registration = registration;
    }

    @Override
    public ResourceModel getResourceModel(int objectId, int resourceId) {
      ObjectModel object = getObjectModel(objectId);
      if (object == null) {
        return null;
      }
      ResourceModel resource = object.resources.get(resourceId);
      return resource == null ? ofAnotherVersion(objectId, resourceId) : resource;
    }

    // Devices have resources that are newer than the version that they register.
    private ResourceModel ofAnotherVersion(int objectId, int resourceId) {
      return known.newestFirst.get(objectId).stream()
          .map(object -> object.resources.get(resourceId))
          .filter(Objects::nonNull)
          .findFirst()
          .orElse(null);
    }

    // A version that nobody knows is better read by its newest known relative than as raw bytes.
    @Override
    public ObjectModel getObjectModel(int objectId) {
      Version version = registration.getSupportedVersion(objectId);
      if (version == null) {
        return null;
      }
      ObjectModel exact = known.repository.getObjectModel(objectId, version);
      return exact != null ? exact : known.repository.getObjectModel(objectId);
    }

    @Override
    public Collection<ObjectModel> getObjectModels() {
      List<ObjectModel> models = new ArrayList<>();
      for (Integer objectId : registration.getSupportedObject().keySet()) {
        ObjectModel model = getObjectModel(objectId);
        if (model != null) {
          models.add(model);
        }
      }
      return models;
    }
  }
}
