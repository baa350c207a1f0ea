"""What the replicator needs of the cluster: to wait until several replicas hold something."""

from typing import Literal, Protocol

from crdts import VersionVector

Replicas = int | Literal["majority", "all"]
"""How many replicas, this one included."""


class Agreement(Protocol):
    """Waiting for others. Cancellation stops the waiting and nothing else."""

    @property
    def stable(self) -> VersionVector:
        """The stable version: no operation that has not seen it can still arrive."""
        ...

    async def acknowledged(self, log_id: str, number: int, replicas: Replicas, timeout: float) -> None:
        """Return when so many replicas hold an entry durably.

        Raises:
            QuorumTimeoutError: too few of them said so in time; the entry is recorded here and spreads.
            ValueError: `replicas` is not a positive number, "majority" or "all".
        """
        ...

    async def caught_up(self, replicas: Replicas, timeout: float) -> None:
        """Return when this journal holds all that so many replicas held when this was called.

        Raises:
            QuorumTimeoutError: too few of them answered, or what they hold did not arrive in time.
        """
        ...
