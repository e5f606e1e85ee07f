-- By what it is for: when devices registered, updated and deregistered.

ALTER INDEX event_presence RENAME TO event_registration_time;
