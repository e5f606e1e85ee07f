-- Whether a device sleeps depends on its profile (042): the console reads profiles.
GRANT SELECT ON profile TO flownexus_console;
