package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.base.AtomicFile;
import io.flownexus.leshan.server.base.StartupException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PublicKey;
import java.time.Clock;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.function.Predicate;
import org.eclipse.leshan.core.peer.OscoreIdentity;
import org.eclipse.leshan.servers.security.EditableSecurityStore;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.eclipse.leshan.servers.security.SecurityStoreListener;

/**
 * Security entries in memory and, when there is a file, on disk, mode 0600.
 *
 * <p>An endpoint whose credentials are removed stays denied until it gets new ones: else its name
 * would be free for anybody who needs none. The sessions of a credential that is removed end.
 */
public final class FileSecurityStore implements EditableSecurityStore {

  private final Path file;
  private final Clock clock;
  private final List<SecurityStoreListener> listeners = new CopyOnWriteArrayList<>();
  private volatile Entries entries = new Entries(); // never changed, but replaced

  /** Load what the file holds; null is a store in memory only. */
  public FileSecurityStore(Path file) {
    this(file, Clock.systemUTC());
  }

  FileSecurityStore(Path file, Clock clock) {
    this.file = file;
    this.clock = clock;
    if (file != null && Files.exists(file)) {
      try {
        entries = SecurityJson.readFile(Files.readAllBytes(file));
      } catch (IOException | IllegalArgumentException e) {
        throw new StartupException("cannot read the security store " + file + " (" + e + ")", e);
      }
    }
  }

  /** Return an endpoint's entry, or null. */
  public SecurityEntry entry(String endpoint) {
    return entries.byEndpoint.get(endpoint);
  }

  /** Return whether an endpoint is denied. */
  public boolean isDenied(String endpoint) {
    SecurityEntry entry = entry(endpoint);
    return entry != null && entry.isDenied();
  }

  /** Return all entries, by name. */
  public List<SecurityEntry> entries() {
    return List.copyOf(entries.byEndpoint.values());
  }

  /** Return how far a database of credentials has been carried here. */
  public Carried carried() {
    return entries.carried;
  }

  /** Return those of an endpoint's credentials that are valid now and fit. */
  public boolean has(String endpoint, Predicate<Credential> fits) {
    SecurityEntry entry = entry(endpoint);
    return entry != null
        && entry.credentials().stream().anyMatch(each -> isValid(each) && fits.test(each));
  }

  /** Return the endpoint that has a pre-shared key identity, or null. */
  public String endpointOf(String identity) {
    SecurityInfo info = getByIdentity(identity);
    return info == null ? null : info.getEndpoint();
  }

  /** Return whether a raw public key is one of any endpoint's. */
  public boolean hasKey(PublicKey key) {
    return entries.byEndpoint.values().stream()
        .flatMap(entry -> entry.credentials().stream())
        .anyMatch(each -> key.equals(each.info().getRawPublicKey()) && isValid(each));
  }

  /** Set an endpoint's entry; a PSK identity of another endpoint is refused. */
  public void put(SecurityEntry entry) throws NonUniqueSecurityInfoException {
    synchronized (this) {
      String other = entries.otherWithIdentityOf(entry);
      if (other != null) {
        throw new NonUniqueSecurityInfoException("a PSK identity is that of " + other);
      }
      change(next -> next.set(entry));
    }
  }

  /** Let nobody use an endpoint's name any more. */
  public void deny(String endpoint) {
    synchronized (this) {
      SecurityEntry there = entry(endpoint);
      SecurityEntry denied = there == null ? SecurityEntry.denied(endpoint) : there.with(List.of());
      change(next -> next.set(denied));
    }
  }

  /**
   * Apply a part of a database of credentials; return who is concerned, or null where something
   * else is here than it expects.
   */
  public Set<String> carry(Change change) {
    Set<String> concerned = new TreeSet<>();
    synchronized (this) {
      Carried there = carried();
      if (!there.source().equals(change.expectedSource())
          || there.revision() != change.expectedRevision()) {
        return null;
      }
      change(next -> next.apply(change, concerned));
    }
    return concerned;
  }

  /** End what is over; return who is concerned. */
  public Set<String> expire() {
    long now = clock.instant().getEpochSecond();
    Set<String> concerned = new TreeSet<>();
    synchronized (this) {
      if (entries.byEndpoint.values().stream()
          .flatMap(entry -> entry.credentials().stream())
          .anyMatch(each -> each.isOver(now))) {
        change(next -> next.expire(now, concerned));
      }
    }
    return concerned;
  }

  @Override
  public SecurityInfo getByEndpoint(String endpoint) {
    SecurityEntry entry = entry(endpoint);
    return entry == null
        ? null
        : entry.credentials().stream()
            .filter(this::isValid)
            .map(Credential::info)
            .findFirst()
            .orElse(null);
  }

  @Override
  public SecurityInfo getByIdentity(String identity) {
    Credential found = entries.byIdentity.get(identity);
    return found == null || !isValid(found) ? null : found.info();
  }

  @Override
  public SecurityInfo getByOscoreIdentity(OscoreIdentity identity) {
    return null;
  }

  @Override
  public Collection<SecurityInfo> getAll() {
    return entries.byEndpoint.values().stream()
        .flatMap(entry -> entry.credentials().stream())
        .map(Credential::info)
        .toList();
  }

  /** Give an endpoint this credential, in place of those that it has. */
  @Override
  public SecurityInfo add(SecurityInfo info) throws NonUniqueSecurityInfoException {
    synchronized (this) {
      SecurityInfo previous = getByEndpoint(info.getEndpoint());
      put(new SecurityEntry(info.getEndpoint(), List.of(Credential.of(info)), false));
      return previous;
    }
  }

  /** Remove an endpoint's credentials, and deny it; null when it had none, then nothing changes. */
  @Override
  public SecurityInfo remove(String endpoint, boolean compromised) {
    synchronized (this) {
      SecurityInfo previous = getByEndpoint(endpoint);
      if (previous != null) {
        deny(endpoint);
      }
      return previous;
    }
  }

  @Override
  public void addListener(SecurityStoreListener listener) {
    listeners.add(listener);
  }

  @Override
  public void removeListener(SecurityStoreListener listener) {
    listeners.remove(listener);
  }

  private boolean isValid(Credential credential) {
    return !credential.isOver(clock.instant().getEpochSecond());
  }

  // What cannot be written has not happened.
  private void change(Function<Entries, List<Credential>> work) {
    Entries next = entries.copy();
    List<Credential> lost = work.apply(next);
    if (file != null) {
      try {
        AtomicFile.write(file, SecurityJson.writeFile(next));
      } catch (IOException e) {
        throw new UncheckedIOException("cannot write the security store", e);
      }
    }
    entries = next;
    if (!lost.isEmpty()) {
      SecurityInfo[] infos = lost.stream().map(Credential::info).toArray(SecurityInfo[]::new);
      listeners.forEach(listener -> listener.securityInfoRemoved(true, infos));
    }
  }
}
