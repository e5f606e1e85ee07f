package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Lane;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** What functions make of batches: they store what is above the mark, and move the mark. */
final class Functions {

  private record Key(UUID source, Lane lane) {}

  private final Map<Key, Long> marks = new HashMap<>();

  /** Return those items of a batch that are stored. */
  synchronized List<byte[]> store(Batch batch) {
    Key key = new Key(batch.source(), batch.lane());
    long mark = marks.getOrDefault(key, 0L);
    List<byte[]> stored = new ArrayList<>();
    for (int i = 0; i < batch.items().size(); i++) {
      if (batch.firstSeq() + i > mark) {
        stored.add(batch.items().get(i));
      }
    }
    marks.merge(key, batch.lastSeq(), Math::max);
    return stored;
  }

  /** Return the highest number of a batch's source and lane. */
  synchronized long mark(Batch batch) {
    return marks.get(new Key(batch.source(), batch.lane()));
  }
}
