package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.webhook.Intake;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Collection;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.ObservationIdentifier;
import org.eclipse.leshan.server.registration.Deregistration;
import org.eclipse.leshan.server.registration.InMemoryRegistrationStore;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.registration.UpdatedRegistration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Registrations and observations in memory, and the same on disk for the next start. */
public final class DurableRegistrationStore extends InMemoryRegistrationStore
    implements Journal.Participant {

  private static final Logger LOG = LoggerFactory.getLogger(DurableRegistrationStore.class);

  private static final String SCHEMA =
      """
      CREATE TABLE IF NOT EXISTS registration (id TEXT PRIMARY KEY, json TEXT) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS observation (
        uri TEXT, token TEXT, registration TEXT, json TEXT, PRIMARY KEY (uri, token)) WITHOUT ROWID;
      """;

  private final Journal journal;
  private final Update putRegistration;
  private final Update deleteRegistration;
  private final Update putObservation;
  private final Update deleteObservation;

  // What has changed since the last transaction; guarded by changes.
  private final Object changes = new Object();
  private Set<String> registrations = new HashSet<>();
  private Set<ObservationIdentifier> observations = new HashSet<>();
  private CompletableFuture<Void> safe = new CompletableFuture<>();

  // What is in the transaction; the journal's thread only.
  private Set<String> writtenRegistrations = Set.of();
  private Set<ObservationIdentifier> writtenObservations = Set.of();
  private CompletableFuture<Void> written;

  /** Take over what an earlier life has left. */
  public DurableRegistrationStore(Journal journal) {
    this.journal = journal;
    Database database = journal.database();
    database.define(SCHEMA);
    try {
      putRegistration = database.update("INSERT OR REPLACE INTO registration VALUES (?, ?)");
      deleteRegistration = database.update("DELETE FROM registration WHERE id = ?");
      putObservation = database.update("INSERT OR REPLACE INTO observation VALUES (?, ?, ?, ?)");
      deleteObservation = database.update("DELETE FROM observation WHERE uri = ? AND token = ?");
      load(database);
    } catch (SQLException e) {
      throw new StartupException("cannot read the spool (" + e.getMessage() + ")", e);
    }
    journal.join(this);
  }

  @Override
  public Deregistration addRegistration(Registration registration) {
    Deregistration replaced = super.addRegistration(registration);
    changed(registration.getId(), Set.of());
    changed(replaced);
    return replaced;
  }

  @Override
  public UpdatedRegistration updateRegistration(RegistrationUpdate update) {
    UpdatedRegistration updated = super.updateRegistration(update);
    if (updated != null) {
      changed(update.getRegistrationId(), Set.of());
    }
    return updated;
  }

  @Override
  public Deregistration removeRegistration(String registrationId) {
    Deregistration removed = super.removeRegistration(registrationId);
    changed(removed);
    return removed;
  }

  @Override
  public Collection<Observation> addObservation(
      String registrationId, Observation observation, boolean addIfAbsent) {
    Collection<Observation> removed =
        super.addObservation(registrationId, observation, addIfAbsent);
    changed(null, Set.of(observation));
    changed(null, removed);
    return removed;
  }

  @Override
  public Observation removeObservation(String registrationId, ObservationIdentifier id) {
    Observation removed = super.removeObservation(registrationId, id);
    if (removed != null) {
      changed(null, Set.of(removed));
    }
    return removed;
  }

  @Override
  public Collection<Observation> removeObservations(String registrationId) {
    Collection<Observation> removed = super.removeObservations(registrationId);
    changed(null, removed);
    return removed;
  }

  /** Return when all that has changed so far is on disk. */
  public CompletionStage<Void> saved() {
    CompletionStage<Void> stage;
    synchronized (changes) {
      stage = safe;
    }
    journal.wake();
    return stage;
  }

  /** Write each that has changed as it is now: the order of the changes does not matter. */
  @Override
  public int write() throws SQLException {
    synchronized (changes) {
      writtenRegistrations = registrations;
      registrations = new HashSet<>();
      writtenObservations = observations;
      observations = new HashSet<>();
      written = safe;
      safe = new CompletableFuture<>();
    }
    for (String id : writtenRegistrations) {
      write(id, getRegistration(id));
    }
    for (ObservationIdentifier id : writtenObservations) {
      write(id, getObservation(id));
    }
    return 0;
  }

  @Override
  public void committed() {
    written.complete(null);
  }

  @Override
  public void failed(Exception reason) {
    synchronized (changes) {
      registrations.addAll(writtenRegistrations);
      observations.addAll(writtenObservations);
      CompletableFuture<Void> earlier = written;
      safe.thenAccept(earlier::complete);
    }
  }

  private void changed(Deregistration removed) {
    if (removed != null) {
      changed(removed.getRegistration().getId(), removed.getObservations());
    }
  }

  private void changed(String registrationId, Collection<Observation> changed) {
    if (registrationId == null && changed.isEmpty()) {
      return;
    }
    CompletableFuture<Void> stage;
    synchronized (changes) {
      if (registrationId != null) {
        registrations.add(registrationId);
      }
      changed.forEach(observation -> observations.add(observation.getId()));
      stage = safe;
    }
    Intake.await(stage);
    journal.wake();
  }

  private void write(String id, Registration registration) throws SQLException {
    if (registration == null) {
      deleteRegistration.execute(id);
    } else if (RegistrationJson.writable(registration)) {
      putRegistration.execute(id, RegistrationJson.write(registration));
    }
  }

  private void write(ObservationIdentifier id, Observation observation) throws SQLException {
    String uri = id.getEndpointUri().toString();
    if (observation == null) {
      deleteObservation.execute(uri, id.getAsHexString());
    } else {
      putObservation.execute(
          uri,
          id.getAsHexString(),
          observation.getRegistrationId(),
          ObservationJson.write(observation));
    }
  }

  private void load(Database database) throws SQLException {
    int loaded = 0;
    try (PreparedStatement select = database.query("SELECT json FROM registration");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        super.addRegistration(RegistrationJson.read(rows.getString(1)));
        loaded++;
      }
    }
    int observed = 0;
    try (PreparedStatement select =
            database.query(
                "SELECT uri, o.json FROM observation o JOIN registration r ON r.id = registration");
        ResultSet rows = select.executeQuery()) {
      while (rows.next()) {
        Observation observation = ObservationJson.read(rows.getString(1), rows.getString(2));
        super.addObservation(observation.getRegistrationId(), observation, false);
        observed++;
      }
    }
    LOG.info("{} registrations and {} observations taken over", loaded, observed);
  }
}
