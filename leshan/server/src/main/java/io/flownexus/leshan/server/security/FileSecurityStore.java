package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.base.AtomicFile;
import io.flownexus.leshan.server.base.StartupException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;
import org.eclipse.leshan.servers.security.SecurityInfo;

/**
 * Security entries in memory and, when there is a file, on disk: a JSON array, mode 0600.
 *
 * <p>An endpoint whose credentials are removed stays denied until it gets new ones: else its name
 * would be free for anybody who needs none.
 */
public final class FileSecurityStore extends InMemorySecurityStore {

  private final Path file;
  private final Set<String> denied = new TreeSet<>(); // guarded by the lock of the entries

  /** Load what the file holds; null is a store in memory only. */
  public FileSecurityStore(Path file) {
    this.file = file;
    if (file != null && Files.exists(file)) {
      try {
        for (SecurityEntry entry : SecurityJson.readAll(Files.readAllBytes(file))) {
          if (entry.credentials() == null) {
            denied.add(entry.endpoint());
          } else {
            super.add(entry.credentials());
          }
        }
      } catch (IOException | IllegalArgumentException | NonUniqueSecurityInfoException e) {
        throw new StartupException("cannot read the security store " + file + " (" + e + ")", e);
      }
    }
  }

  /** Return whether an endpoint is denied. */
  public boolean isDenied(String endpoint) {
    readLock.lock();
    try {
      return denied.contains(endpoint);
    } finally {
      readLock.unlock();
    }
  }

  /** Return all entries: those with credentials, then those denied. */
  public List<SecurityEntry> entries() {
    readLock.lock();
    try {
      List<SecurityEntry> entries = new ArrayList<>();
      securityByEp.values().forEach(info -> entries.add(SecurityEntry.of(info)));
      denied.forEach(endpoint -> entries.add(SecurityEntry.denied(endpoint)));
      return entries;
    } finally {
      readLock.unlock();
    }
  }

  /** Let nobody use an endpoint's name any more. */
  public void deny(String endpoint) {
    writeLock.lock();
    try {
      SecurityInfo removed = super.remove(endpoint, true);
      boolean added = denied.add(endpoint);
      try {
        save();
      } catch (UncheckedIOException e) {
        if (added) {
          denied.remove(endpoint);
        }
        restore(removed);
        throw e;
      }
    } finally {
      writeLock.unlock();
    }
  }

  /** Add credentials; an endpoint that was denied may come again, with these. */
  @Override
  public SecurityInfo add(SecurityInfo info) throws NonUniqueSecurityInfoException {
    writeLock.lock();
    try {
      SecurityInfo previous = super.add(info);
      boolean lifted = denied.remove(info.getEndpoint());
      try {
        save();
      } catch (UncheckedIOException e) {
        if (lifted) {
          denied.add(info.getEndpoint());
        }
        if (previous == null) {
          super.remove(info.getEndpoint(), false);
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

  /** Remove an endpoint's credentials, and deny it; null when it had none, then nothing changes. */
  @Override
  public SecurityInfo remove(String endpoint, boolean compromised) {
    writeLock.lock();
    try {
      SecurityInfo credentials = getByEndpoint(endpoint);
      if (credentials != null) {
        deny(endpoint);
      }
      return credentials;
    } finally {
      writeLock.unlock();
    }
  }

  private void restore(SecurityInfo removed) {
    if (removed != null) {
      try {
        super.add(removed);
      } catch (NonUniqueSecurityInfoException e) {
        throw new IllegalStateException(e); // under the lock, it was there a moment ago
      }
    }
  }

  private void save() {
    if (file != null) {
      try {
        AtomicFile.write(file, SecurityJson.write(entries()));
      } catch (IOException e) {
        throw new UncheckedIOException("cannot write the security store", e);
      }
    }
  }
}
