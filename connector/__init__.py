"""The connector: JetStream messages, and a clock, to OpenFaaS functions through the gateway.

A function names what it wants to be called for in its annotations: `topic`, a subject or several with commas
between, or `topic: cron-function` with a `schedule`; with `batch` it takes several messages in one call.

service.py is the whole: gateway.py tells it the functions, bus.py consumes for those with a topic,
cron.py calls those with a schedule. bus.py has a consumer.py for each function, which takes messages by
pull.py, calls the function by gateway.py, and acknowledges by in_flight.py. Pure are functions.py (whom
to call for what), results.py (what a call's result means for its message) and schedule.py (when).
"""
