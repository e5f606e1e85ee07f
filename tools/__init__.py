"""Developers' tools: what writes files of this repository from its sources."""
