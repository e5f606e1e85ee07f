package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import org.junit.jupiter.api.Test;

class GroupSpecTest {
  @Test
  void reads_all_options() {
    GroupSpec group =
        GroupSpec.parse(
            "prefix=a-,count=2,start=9,notify=20ms,sleepy,awake=5s,slow=10,failing,"
                + "lifetime=60,update=1m30s");
    assertEquals(List.of("a-0009", "a-0010"), group.endpoints());
    assertEquals(Duration.ofMillis(20), group.interval());
    assertEquals(Duration.ofSeconds(5), group.awake());
    assertEquals(Duration.ofSeconds(10), group.slow());
    assertTrue(group.failing());
    assertEquals(Duration.ofSeconds(60), group.lifetime());
    assertEquals(Duration.ofSeconds(90), group.update());
    assertEquals(ObjectKind.DEFAULT, group.objects());
    assertEquals(FirmwareFault.NONE, group.firmware());
    assertEquals(FirmwareFault.ROLLS_BACK, GroupSpec.parse("firmware=rolls-back").firmware());
    assertEquals(
        EnumSet.of(ObjectKind.DEVICE, ObjectKind.HUMIDITY),
        GroupSpec.parse("objects=3304+3").objects());
  }

  @Test
  void has_defaults() {
    GroupSpec group = GroupSpec.parse("prefix=a-,lifetime=40s");
    assertEquals(List.of("a-0001"), group.endpoints());
    assertFalse(group.sleepy());
    assertEquals(Duration.ofSeconds(20), group.update());
    assertNull(GroupSpec.parse("notify=max").interval());
  }

  @Test
  void names_what_is_wrong() {
    for (String bad :
        List.of("colour=red", "count=0", "notify=soon", "slow", "count=", "firmware=burns")) {
      assertThrows(IllegalArgumentException.class, () -> GroupSpec.parse(bad), bad);
    }
  }
}
