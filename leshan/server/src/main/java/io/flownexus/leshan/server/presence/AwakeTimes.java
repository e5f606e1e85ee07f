package io.flownexus.leshan.server.presence;

import java.time.Duration;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.eclipse.leshan.server.queue.ClientAwakeTimeProvider;
import org.eclipse.leshan.server.queue.PresenceServiceImpl;
import org.eclipse.leshan.server.registration.Registration;

/**
 * Knows how long each device of queue mode listens after a contact, and puts it to sleep then.
 *
 * <p>How long is what the device registered, else what a request told of it, else the server's
 * setting. Leshan's own timers are not used: it makes one for each message, and keeps it for as
 * long as the device would have listened.
 */
public final class AwakeTimes implements ClientAwakeTimeProvider {

  /** The parameter of a registration: whole seconds that the device listens after a contact. */
  public static final String PARAMETER = "awake";

  /** The longest time that a device may tell, in seconds: a day. */
  public static final long LONGEST_S = 86_400;

  private static final int NO_TIMER = 0; // of Leshan

  private final Duration usual;
  private final ConcurrentMap<String, Duration> told = new ConcurrentHashMap<>();
  private final ConcurrentMap<String, Listening> listening = new ConcurrentHashMap<>();
  private final ScheduledThreadPoolExecutor timer =
      new ScheduledThreadPoolExecutor(
          1,
          task -> {
            Thread thread = new Thread(task, "awake-times");
            thread.setDaemon(true);
            return thread;
          });
  private volatile PresenceServiceImpl presence;

  /** Let devices that say nothing else listen for the usual time. */
  public AwakeTimes(Duration usual) {
    this.usual = usual;
    timer.setRemoveOnCancelPolicy(true);
  }

  /** Put devices to sleep by this service from now on. */
  void attach(PresenceServiceImpl service) {
    presence = service;
  }

  /** Return what a device itself registered, or null. */
  public static Duration registered(Registration registration) {
    String text = registration.getAdditionalRegistrationAttributes().get(PARAMETER);
    return text == null ? null : parse(text);
  }

  /** Return a parameter's value; null when it is no whole number from 1 to {@link #LONGEST_S}. */
  public static Duration parse(String text) {
    if (!text.matches("[0-9]{1,5}")) {
      return null;
    }
    long seconds = Long.parseLong(text);
    return seconds < 1 || seconds > LONGEST_S ? null : Duration.ofSeconds(seconds);
  }

  /** Return how long a device listens after a contact. */
  public Duration of(Registration registration) {
    Duration own = registered(registration);
    return own == null ? told.getOrDefault(registration.getEndpoint(), usual) : own;
  }

  /** Take what is known elsewhere of a device that says nothing itself; it counts at once. */
  public void tell(Registration registration, Duration awake) {
    if (awake.equals(told.put(registration.getEndpoint(), awake))) {
      return;
    }
    Listening device = listening.get(registration.getEndpoint());
    if (device != null) {
      device.review();
    }
  }

  /** Is asked by Leshan whenever it takes a device for awake: it was heard. */
  @Override
  public int getClientAwakeTime(Registration registration) {
    while (!heard(registration)) {
      Listening device = new Listening(registration);
      if (listening.putIfAbsent(registration.getEndpoint(), device) == null) {
        device.review();
        // The last sleep may have been under way while Leshan noted that the device is awake.
        timer.execute(() -> wakeAgain(registration));
      }
    }
    return NO_TIMER;
  }

  /** Put off the sleep of a device that was heard; false when it sleeps. */
  boolean heard(Registration registration) {
    Listening device = listening.get(registration.getEndpoint());
    return device != null && device.heard(registration);
  }

  private void wakeAgain(Registration registration) {
    if (!presence.isClientAwake(registration)) {
      presence.setAwake(registration);
    }
  }

  /** Forget what was told of a device that has left. */
  void forget(Registration registration) {
    told.remove(registration.getEndpoint());
  }

  /** End the timers. */
  public void close() {
    timer.shutdownNow();
  }

  /** A device from the contact that woke it until it sleeps. */
  private final class Listening {
    private Registration registration;
    private long lastHeard;
    private boolean over;
    private ScheduledFuture<?> due;

    Listening(Registration registration) {
      this.registration = registration;
      lastHeard = System.nanoTime();
    }

    synchronized boolean heard(Registration now) {
      if (over) {
        return false;
      }
      registration = now;
      lastHeard = System.nanoTime();
      return true;
    }

    /** Fall asleep if it is time, else look again when it will be. */
    synchronized void review() {
      if (over || timer.isShutdown()) {
        return;
      }
      long left = lastHeard + of(registration).toNanos() - System.nanoTime();
      if (due != null) {
        due.cancel(false);
      }
      if (left > 0) {
        due = timer.schedule(this::review, left, TimeUnit.NANOSECONDS);
        return;
      }
      over = true;
      listening.remove(registration.getEndpoint(), this);
      presence.setSleeping(registration);
    }
  }
}
