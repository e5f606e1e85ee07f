package io.flownexus.leshan.server.presence;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CyclicBarrier;
import org.eclipse.leshan.core.LwM2m.LwM2mVersion;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.peer.IpPeer;
import org.eclipse.leshan.core.peer.LwM2mIdentity;
import org.eclipse.leshan.core.peer.PskIdentity;
import org.eclipse.leshan.core.peer.SocketIdentity;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.server.queue.PresenceServiceImpl;
import org.eclipse.leshan.server.queue.PresenceStateListener;
import org.eclipse.leshan.server.registration.InMemoryRegistrationStore;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationServiceImpl;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What is told of devices that are heard, however many messages come at once. */
class ContactsTest {

  private static final InetSocketAddress HOME = new InetSocketAddress("192.0.2.1", 1000);
  private static final int THREADS = 4;

  private final AwakeTimes awakeTimes = new AwakeTimes(Duration.ofMillis(200));
  private final Contacts contacts = new Contacts(awakeTimes, true);
  private final InMemoryRegistrationStore store = new InMemoryRegistrationStore();
  private final RegistrationServiceImpl registrations = new RegistrationServiceImpl(store);
  private final PresenceServiceImpl presence = new PresenceServiceImpl(awakeTimes);
  private final List<Contact> told = new CopyOnWriteArrayList<>();

  ContactsTest() {
    registrations.addListener(new PresenceStateListener(presence));
    registrations.addListener(
        new RegistrationListener() {
          @Override
          public void registered(
              Registration registration, Registration previous, Collection<Observation> observed) {}

          @Override
          public void updated(
              RegistrationUpdate update, Registration updated, Registration previous) {
            told.add((Contact) update);
          }

          @Override
          public void unregistered(
              Registration registration,
              Collection<Observation> observations,
              boolean expired,
              Registration newRegistration) {}
        });
    contacts.attach(registrations, presence);
  }

  @AfterEach
  void stop() {
    presence.destroy();
    awakeTimes.close();
  }

  @Test
  void of_messages_that_come_at_once_one_tells() throws Exception {
    for (int round = 0; round < 200; round++) {
      Registration sleeper = register("sleeper", new PskIdentity("sleeper"), true, Map.of());
      presence.setSleeping(sleeper);
      atOnce(() -> contacts.heard(sleeper, HOME));
      assertEquals(round + 1, told.size());
    }
  }

  @Test
  void of_messages_from_a_new_address_one_moves_the_device() throws Exception {
    Registration device = register("device", new PskIdentity("device"), false, Map.of());
    for (int round = 0; round < 200; round++) {
      InetSocketAddress address = new InetSocketAddress("192.0.2.2", 2000 + round);
      atOnce(() -> contacts.heard(device, address));
      assertEquals(round + 1, told.size());
      assertTrue(told.get(round).moved());
      Registration now = store.getRegistration(device.getId());
      assertEquals(address, now.getSocketAddress());
      assertEquals(device.getLastUpdate(), now.getLastUpdate());
      assertEquals(now, store.getRegistrationByIdentity(new PskIdentity("device")));
      assertNull(store.getRegistrationByAdress(HOME));
    }
  }

  @Test
  void who_has_proved_nothing_moves_nobody() {
    Registration device = register("device", new SocketIdentity(HOME), false, Map.of());
    contacts.heard(device, new InetSocketAddress("192.0.2.2", 2000));
    assertEquals(HOME, store.getRegistration(device.getId()).getSocketAddress());
    assertTrue(told.isEmpty());
  }

  @Test
  void sleeper_is_awake_as_long_as_it_is_heard_and_no_longer() throws Exception {
    Registration sleeper = register("sleeper", new PskIdentity("sleeper"), true, Map.of());
    registrations.fireRegistered(sleeper, null, null);
    for (int i = 0; i < 20; i++) {
      assertTrue(presence.isClientAwake(sleeper));
      contacts.heard(sleeper, HOME);
      Thread.sleep(25);
    }
    Thread.sleep(100);
    assertTrue(presence.isClientAwake(sleeper));
    Thread.sleep(300);
    assertFalse(presence.isClientAwake(sleeper));
    assertTrue(told.isEmpty());
  }

  @Test
  void device_that_is_heard_as_it_falls_asleep_ends_awake() throws Exception {
    Registration sleeper = register("sleeper", new PskIdentity("sleeper"), true, Map.of());
    long end = System.nanoTime() + 2_000_000_000L;
    while (System.nanoTime() < end) {
      presence.setAwake(sleeper); // by an update, which tells no contact
      assertTrue(awaitAwake(sleeper));
      Thread.sleep(199);
    }
  }

  @Test
  void what_a_device_registers_counts_more_than_what_is_told_of_it() {
    Registration own =
        register("own", new PskIdentity("own"), true, Map.of(AwakeTimes.PARAMETER, "7"));
    Registration other = register("other", new PskIdentity("other"), true, Map.of());
    assertEquals(Duration.ofMillis(200), awakeTimes.of(other));
    for (Registration each : List.of(own, other)) {
      awakeTimes.tell(each, Duration.ofSeconds(3));
    }
    assertEquals(Duration.ofSeconds(7), awakeTimes.of(own));
    assertEquals(Duration.ofSeconds(3), awakeTimes.of(other));
    registrations.fireUnregistered(other, List.of(), null);
    assertEquals(Duration.ofMillis(200), awakeTimes.of(other));
  }

  // A sleep under way may end just after; the device is awake again at once.
  private boolean awaitAwake(Registration sleeper) throws InterruptedException {
    for (int i = 0; i < 50; i++) {
      if (presence.isClientAwake(sleeper)) {
        return true;
      }
      Thread.sleep(1);
    }
    return false;
  }

  private Registration register(
      String endpoint, LwM2mIdentity identity, boolean queueMode, Map<String, String> attributes) {
    Registration registration =
        new Registration.Builder(
                endpoint + "-id",
                endpoint,
                new IpPeer(HOME, identity),
                new DefaultEndPointUriHandler().createUri("coaps://192.0.2.9:5684"))
            .lwM2mVersion(LwM2mVersion.V1_1)
            .bindingMode(BindingMode.parse("U"))
            .queueMode(queueMode)
            .lastUpdate(new Date(1_700_000_000_000L))
            .additionalRegistrationAttributes(attributes)
            .build();
    store.addRegistration(registration);
    return registration;
  }

  private static void atOnce(Runnable action) throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(THREADS);
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < THREADS; i++) {
      Thread thread =
          new Thread(
              () -> {
                try {
                  barrier.await();
                } catch (Exception e) {
                  throw new AssertionError(e);
                }
                action.run();
              });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) {
      thread.join();
    }
  }
}
