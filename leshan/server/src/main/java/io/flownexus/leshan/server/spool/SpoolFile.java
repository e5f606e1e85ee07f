package io.flownexus.leshan.server.spool;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A spool's file and those beside it, of one process at a time, that their owner alone reads. */
final class SpoolFile implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(SpoolFile.class);

  private final Path path;
  private final FileChannel lock;

  /** Open or make the file; IOException when another process has it open. */
  SpoolFile(Path path) throws IOException {
    this.path = path.toAbsolutePath();
    Files.createDirectories(this.path.getParent(), ownersOnly("rwx------"));
    lock = lock(keepToOwner(sibling(".lock")));
    keepToOwner(this.path);
    for (String ending : List.of("-wal", "-shm")) { // SQLite makes them like the file
      if (Files.exists(sibling(ending))) {
        keepToOwner(sibling(ending));
      }
    }
    clearLibraries(sibling(".native"));
  }

  Path path() {
    return path;
  }

  // By its path: a FileStore needs the mount point, which a container need not show.
  File folder() {
    return path.getParent().toFile();
  }

  /** Return how large the file and its write-ahead log are. */
  long bytes() {
    return path.toFile().length() + sibling("-wal").toFile().length();
  }

  /** Let another process have the file. */
  @Override
  public void close() {
    try {
      lock.close();
    } catch (IOException e) {
      LOG.warn("spool: {}", e.toString());
    }
  }

  @Override
  public String toString() {
    return path.toString();
  }

  private Path sibling(String ending) {
    return path.resolveSibling(path.getFileName() + ending);
  }

  // What devices said is nobody else's. A folder that is there already is its owner's to close.
  private static Path keepToOwner(Path path) throws IOException {
    FileAttribute<Set<PosixFilePermission>> permissions = ownersOnly("rw-------");
    try {
      return Files.createFile(path, permissions);
    } catch (FileAlreadyExistsException e) {
      return Files.setPosixFilePermissions(path, permissions.value());
    }
  }

  private static FileAttribute<Set<PosixFilePermission>> ownersOnly(String permissions) {
    return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions));
  }

  private static FileChannel lock(Path path) throws IOException {
    FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    try {
      if (channel.tryLock() != null) {
        return channel;
      }
    } catch (OverlappingFileLockException e) {
      LOG.debug("{} is open in this very process", path);
    }
    channel.close();
    throw new IOException("another server has it open");
  }

  // The driver unpacks its library at each start; a killed process leaves it behind.
  private static void clearLibraries(Path folder) throws IOException {
    if (System.getProperty("org.sqlite.tmpdir") != null) {
      return;
    }
    Files.createDirectories(folder, ownersOnly("rwx------"));
    try (Stream<Path> old = Files.list(folder)) {
      for (Path path : old.toList()) {
        Files.delete(path);
      }
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    System.setProperty("org.sqlite.tmpdir", folder.toString());
  }
}
