package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** What a lane makes of chunks, in whatever order it hears of them. */
class DiskLaneTest {

  private static final Lane LANE = new Lane(WebhookKind.SINGLE, 0);

  @Test
  void chunk_read_before_the_lane_is_told_of_its_commit_is_taken_once() {
    DiskLane lane = lane(10, 0);
    List<Chunk> onDisk = List.of(chunk(1, 10), chunk(11, 20)); // SQLite has committed both
    lane.loaded(onDisk);
    lane.committed(chunk(11, 20));
    List<Long> posted = new ArrayList<>();
    for (Batch batch; (batch = lane.peek(100, 1 << 20)) != null; ) {
      posted.addAll(numbers(batch));
      lane.remove(batch.lastSeq());
    }
    assertEquals(LongStream.rangeClosed(1, 20).boxed().toList(), posted);
  }

  @Test
  void chunk_that_does_not_follow_the_last_one_stops_the_lane() {
    DiskLane lane = lane(0, 0);
    lane.committed(chunk(1, 10));
    lane.committed(chunk(12, 20));
    assertStopped(lane, "chunk 12 to 20 does not follow 10");
    lane.committed(chunk(21, 30));
    assertEquals(30, lane.committed());
    assertStopped(lane, "chunk 12 to 20 does not follow 10");
  }

  @Test
  void chunk_that_comes_twice_stops_the_lane() {
    DiskLane lane = lane(0, 0);
    lane.committed(chunk(1, 10));
    lane.committed(chunk(1, 10));
    assertStopped(lane, "chunk 1 to 10 does not follow 10");
  }

  @Test
  void hole_on_disk_stops_the_lane() {
    DiskLane lane = lane(30, 0);
    lane.loaded(List.of(chunk(1, 10), chunk(21, 30)));
    assertStopped(lane, "chunk 21 to 30 does not follow 10");
    DiskLane other = lane(30, 0);
    other.loaded(List.of());
    assertStopped(other, "the items from 1 to 30 are not on disk");
  }

  @Test
  void only_what_was_looked_at_can_be_removed() {
    DiskLane lane = lane(0, 0);
    lane.committed(chunk(1, 10));
    assertThrows(IllegalArgumentException.class, () -> lane.remove(11));
    assertEquals(10, lane.pending());
  }

  @Test
  void batch_ends_where_another_source_begins() {
    UUID earlier = UUID.randomUUID();
    DiskLane lane =
        new DiskLane(0, LANE, List.of(new Numbering(6, earlier)), UUID.randomUUID(), 10, 7);
    lane.loaded(List.of(chunk(6, 10)));
    lane.committed(chunk(11, 12));
    Batch first = lane.peek(100, 1 << 20);
    assertEquals(earlier, first.source());
    assertEquals(3, first.firstSeq());
    assertEquals(List.of(8L, 9L, 10L), numbers(first));
    lane.remove(first.lastSeq());
    Batch second = lane.peek(100, 1 << 20);
    assertNotEquals(earlier, second.source());
    assertEquals(1, second.firstSeq());
    assertEquals(List.of(11L, 12L), numbers(second));
  }

  private static DiskLane lane(long committed, long done) {
    List<Numbering> earlier = List.of(new Numbering(1, UUID.randomUUID()));
    return new DiskLane(0, LANE, earlier, UUID.randomUUID(), committed, done);
  }

  private static void assertStopped(DiskLane lane, String reason) {
    IllegalStateException stopped =
        assertThrows(IllegalStateException.class, () -> lane.peek(100, 1 << 20));
    assertEquals("the lane has stopped: " + reason, stopped.getMessage());
  }

  private static Chunk chunk(int first, int last) {
    return new Chunk(
        first,
        0,
        IntStream.rangeClosed(first, last)
            .mapToObj(n -> Integer.toString(n).getBytes(StandardCharsets.US_ASCII))
            .toList());
  }

  private static List<Long> numbers(Batch batch) {
    return batch.items().stream()
        .map(item -> Long.valueOf(new String(item, StandardCharsets.US_ASCII)))
        .toList();
  }
}
