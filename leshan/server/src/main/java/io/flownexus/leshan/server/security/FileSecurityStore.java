package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.AtomicFile;
import io.flownexus.leshan.server.StartupException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;
import org.eclipse.leshan.servers.security.SecurityInfo;

/** Security entries in memory and, when there is a file, on disk: a JSON array, mode 0600. */
public final class FileSecurityStore extends InMemorySecurityStore {

  private final Path file;

  /** Load what the file holds; null is a store in memory only. */
  public FileSecurityStore(Path file) {
    this.file = file;
    if (file != null && Files.exists(file)) {
      try {
        for (SecurityInfo entry : SecurityJson.readAll(Files.readAllBytes(file))) {
          super.add(entry);
        }
      } catch (IOException | IllegalArgumentException | NonUniqueSecurityInfoException e) {
        throw new StartupException("cannot read the security store " + file + " (" + e + ")", e);
      }
    }
  }

  @Override
  public SecurityInfo add(SecurityInfo entry) throws NonUniqueSecurityInfoException {
    writeLock.lock();
    try {
      SecurityInfo previous = super.add(entry);
      try {
        save();
      } catch (UncheckedIOException e) {
        if (previous == null) {
          super.remove(entry.getEndpoint(), false);
        } else {
          super.add(previous);
        }
        throw e;
      }
      return previous;
    } finally {
      writeLock.unlock();
    }
  }

  @Override
  public SecurityInfo remove(String endpoint, boolean compromised) {
    writeLock.lock();
    try {
      SecurityInfo removed = super.remove(endpoint, compromised);
      if (removed != null) {
        save();
      }
      return removed;
    } finally {
      writeLock.unlock();
    }
  }

  private void save() {
    if (file != null) {
      try {
        AtomicFile.write(file, SecurityJson.write(securityByEp.values()));
      } catch (IOException e) {
        throw new UncheckedIOException("cannot write the security store", e);
      }
    }
  }
}
