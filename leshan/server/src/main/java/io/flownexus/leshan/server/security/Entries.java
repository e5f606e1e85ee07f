package io.flownexus.leshan.server.security;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What a security store holds at one time; a change is made to a copy. */
final class Entries {

  final Map<String, SecurityEntry> byEndpoint;
  final Map<String, Credential> byIdentity;
  final Set<String> stale; // carried before, and not yet since a carrying of all has begun
  boolean carrying; // all, and it has not ended
  Carried carried;

  Entries() {
    byEndpoint = new TreeMap<>();
    byIdentity = new HashMap<>();
    stale = new HashSet<>();
    carried = Carried.NOTHING;
  }

  private Entries(Entries of) {
    byEndpoint = new TreeMap<>(of.byEndpoint);
    byIdentity = new HashMap<>(of.byIdentity);
    stale = new HashSet<>(of.stale);
    carrying = of.carrying;
    carried = of.carried;
  }

  Entries copy() {
    return new Entries(this);
  }

  /** Return the credentials of before that are none any more. */
  static List<Credential> removed(List<Credential> before, List<Credential> after) {
    return before.stream().filter(old -> after.stream().noneMatch(old::isSame)).toList();
  }

  /** Return what is to be kept over a restart; the rest of a carrying of all has to come again. */
  Carried lasting() {
    return carrying ? new Carried("", 0, carried.refusesUnenrolled()) : carried;
  }

  /** Set an endpoint's entry; return the credentials that it lost. */
  List<Credential> set(SecurityEntry entry) {
    SecurityEntry before = byEndpoint.put(entry.endpoint(), entry);
    List<Credential> old = before == null ? List.of() : before.credentials();
    old.forEach(each -> byIdentity.remove(each.info().getPskIdentity()));
    for (Credential each : entry.credentials()) {
      if (each.info().usePSK()) {
        byIdentity.put(each.info().getPskIdentity(), each);
      }
    }
    return removed(old, entry.credentials());
  }

  /** Return the endpoint that has one of these identities, and is not this one; or null. */
  String otherWithIdentityOf(SecurityEntry entry) {
    for (Credential each : entry.credentials()) {
      Credential there = byIdentity.get(each.info().getPskIdentity());
      if (there != null && !there.info().getEndpoint().equals(entry.endpoint())) {
        return there.info().getEndpoint();
      }
    }
    return null;
  }

  /** Apply a change; return the credentials that are none any more, and add who is concerned. */
  List<Credential> apply(Change change, Set<String> concerned) {
    if (change.begins()) {
      carrying = true;
      stale.clear();
      byEndpoint.values().stream()
          .filter(SecurityEntry::carried)
          .forEach(entry -> stale.add(entry.endpoint()));
    }
    List<Credential> lost = new ArrayList<>();
    for (SecurityEntry entry : change.entries()) {
      for (String other = otherWithIdentityOf(entry);
          other != null;
          other = otherWithIdentityOf(entry)) {
        lost.addAll(set(withoutIdentitiesOf(byEndpoint.get(other), entry)));
        concerned.add(other);
      }
      lost.addAll(set(entry));
      stale.remove(entry.endpoint());
      concerned.add(entry.endpoint());
    }
    if (change.completes()) {
      for (String endpoint : List.copyOf(stale)) {
        lost.addAll(set(byEndpoint.get(endpoint).with(List.of())));
        concerned.add(endpoint);
      }
      carrying = false;
    }
    carried = change.next();
    return lost;
  }

  // An identity is one device's: the database knows whose, and says what the other has soon.
  private static SecurityEntry withoutIdentitiesOf(SecurityEntry entry, SecurityEntry owner) {
    Set<String> taken = new HashSet<>();
    owner.credentials().forEach(each -> taken.add(each.info().getPskIdentity()));
    taken.remove(null);
    return entry.with(
        entry.credentials().stream()
            .filter(each -> !taken.contains(each.info().getPskIdentity()))
            .toList());
  }

  /** End what is over; return it, and add who is concerned. */
  List<Credential> expire(long seconds, Set<String> concerned) {
    List<Credential> lost = new ArrayList<>();
    for (SecurityEntry entry : List.copyOf(byEndpoint.values())) {
      if (entry.credentials().stream().anyMatch(each -> each.isOver(seconds))) {
        lost.addAll(
            set(
                entry.with(
                    entry.credentials().stream().filter(each -> !each.isOver(seconds)).toList())));
        concerned.add(entry.endpoint());
      }
    }
    return lost;
  }
}
