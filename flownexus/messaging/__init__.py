"""NATS JetStream: the stream of hints, its subjects, and their publisher.

A hint says that an endpoint is worth a look now. It is disposable: PostgreSQL holds the truth, so one that is
lost costs time only, and several for one endpoint count as one (the stream keeps the newest of a subject).
"""
