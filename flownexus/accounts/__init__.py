"""Those who sign in to the console: roles, passwords, second factor, throttling, audit. Policy; no I/O."""
