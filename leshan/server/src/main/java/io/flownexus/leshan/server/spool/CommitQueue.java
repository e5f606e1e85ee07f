package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.spool.CommitGroup.Append;
import io.flownexus.leshan.server.spool.CommitGroup.Recall;
import io.flownexus.leshan.server.spool.CommitGroup.Renewal;
import io.flownexus.leshan.server.webhook.SetAside;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** What waits for the spool's next transaction: any thread adds, the journal's takes. */
final class CommitQueue {

  private static final int MAX_APPENDS = 4096; // in one group

  private final DiskLanes lanes;
  private List<Append> appends = new ArrayList<>();
  private List<Renewal> renewals = new ArrayList<>();
  private List<SetAside> setAside = new ArrayList<>();
  private Set<DiskLane> trims = new HashSet<>();
  private List<Recall> recalls = new ArrayList<>();

  CommitQueue(DiskLanes lanes) {
    this.lanes = lanes;
  }

  synchronized void add(Append append) {
    appends.add(append);
  }

  synchronized void add(Renewal renewal) {
    renewals.add(renewal);
  }

  synchronized void add(Recall recall) {
    recalls.add(recall);
  }

  /** Note that a lane is done with items that are on disk. */
  synchronized void trim(DiskLane lane) {
    trims.add(lane);
  }

  /**
   * Set a lane's oldest item aside, and return what it counted for.
   *
   * <p>It leaves the lane in the transaction that sets it aside.
   */
  synchronized long setAside(DiskLane lane, SetAside item) {
    setAside.add(item);
    return lane.remove(item.seq());
  }

  /** Return whether there is more than the last group took. */
  synchronized boolean hasAppends() {
    return !appends.isEmpty();
  }

  /** Take what waits, of the appends at most so many. */
  synchronized CommitGroup take() {
    CommitGroup group =
        new CommitGroup(takeAppends(), renewals, setAside, trims, recalls, lanes.done());
    renewals = new ArrayList<>();
    setAside = new ArrayList<>();
    trims = new HashSet<>();
    recalls = new ArrayList<>();
    return group;
  }

  private List<Append> takeAppends() {
    List<Append> taken = appends;
    List<Append> rest = new ArrayList<>();
    if (appends.size() > MAX_APPENDS) {
      taken = new ArrayList<>(appends.subList(0, MAX_APPENDS));
      rest = new ArrayList<>(appends.subList(MAX_APPENDS, appends.size()));
    }
    appends = rest;
    return taken;
  }

  /** Put back what nobody would bring again, before what has come since. */
  synchronized void putBack(CommitGroup failed) {
    List<Append> again = new ArrayList<>();
    failed.appends().stream().filter(append -> !append.comesAgain()).forEach(again::add);
    again.addAll(appends);
    appends = again;
    setAside.addAll(failed.setAside());
    trims.addAll(failed.trims());
  }
}
