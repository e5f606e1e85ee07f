"""The connector: JetStream messages, and a clock, to OpenFaaS functions through the gateway.

A function names what it wants to be called for in its annotations: `topic`, a subject or several with commas
between, or `topic: cron-function` with a `schedule`; with `batch` it takes several messages in one call. The
pure parts are functions.py (whom to call for what), deliver.py (what a call's outcome means for its message)
and schedule.py (when); gateway.py, jetstream.py, cron.py and service.py do the input and output.
"""
