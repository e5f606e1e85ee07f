"""The embedded world: every part of Flow Nexus on one machine, for trying, developing and testing it."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
