"""The numbers by which the core works; every bound has its name here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds by a monotonic clock, sizes in bytes.

    Attributes:
        gossip_interval_seconds: how often digests (or heartbeats) go to a few peers.
        fanout: to how many connected peers a gossip round goes.
        suspect_after_seconds: a member that was not heard for so long is suspect.
        dead_after_seconds: … is taken for dead: it still counts for stability, but nobody waits for it.
        resend_after_seconds: entries that were not acknowledged for so long are sent again.
        batch_bytes: about how much one message of entries holds.
        window_bytes: how much may be on the way to a peer without acknowledgement.
        incoming_bytes: how much of what a peer sent may wait for the disk.
        introductions_max: how many members one digest introduces.
        claims_max: how many different things one digest says that members hold.
        ordered: whether the transport keeps the order of messages and loses none, so that a gap is a fault.
    """

    gossip_interval_seconds: float = 0.5
    fanout: int = 3
    suspect_after_seconds: float = 3.0
    dead_after_seconds: float = 10.0
    resend_after_seconds: float = 5.0
    batch_bytes: int = 128 * 1024
    window_bytes: int = 1024 * 1024
    incoming_bytes: int = 8 * 1024 * 1024
    introductions_max: int = 1_024
    claims_max: int = 64
    ordered: bool = True
