"""The replicator as a pure state machine: no I/O, no clock, no chance of its own, no tasks."""
