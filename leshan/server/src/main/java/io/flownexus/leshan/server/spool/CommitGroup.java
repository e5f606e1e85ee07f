package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.SetAside;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** What one transaction of the spool writes; done is by a lane's id, as the transaction began. */
record CommitGroup(
    List<Append> appends,
    List<Renewal> renewals,
    List<SetAside> setAside,
    Set<DiskLane> trims,
    List<Recall> recalls,
    long[] done) {

  static final CommitGroup EMPTY =
      new CommitGroup(List.of(), List.of(), List.of(), Set.of(), List.of(), new long[0]);

  /** Items to keep, and the message that brought them, if it would come again. */
  record Append(List<Item> items, MessageId message, CompletableFuture<Void> safe) {

    long bytes() {
      return items.stream().mapToLong(item -> Chunk.cost(item.json())).sum();
    }

    boolean comesAgain() {
      return message != null;
    }
  }

  /** A lane that gets a new source. */
  record Renewal(DiskLane lane, CompletableFuture<Void> safe) {}

  /** So many items set aside, at most, that go into their lanes again. */
  record Recall(int limit, CompletableFuture<Integer> safe) {}

  int items() {
    return appends.stream().mapToInt(append -> append.items.size()).sum();
  }

  List<MessageId> messages() {
    return appends.stream().map(Append::message).filter(Objects::nonNull).toList();
  }

  /** Tell those who wait, but for the recalls, that the group is on disk. */
  void complete() {
    appends.forEach(append -> append.safe.complete(null));
    renewals.forEach(renewal -> renewal.safe.complete(null));
  }

  /** Tell those who do not wait for the next transaction that the group is not on disk. */
  void fail(Exception reason) {
    appends.stream()
        .filter(Append::comesAgain)
        .forEach(append -> append.safe.completeExceptionally(reason));
    renewals.forEach(renewal -> renewal.safe.completeExceptionally(reason));
    recalls.forEach(recall -> recall.safe.completeExceptionally(reason));
  }
}
