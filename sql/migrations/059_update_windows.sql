-- The update of a single device may have windows for its install, too.

GRANT INSERT (install_in) ON firmware_update TO flownexus_api, flownexus_console;
GRANT SELECT (install_in) ON firmware_update TO flownexus_console;
