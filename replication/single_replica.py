"""`SingleReplica`: a cluster of one, which agrees with itself at once."""

from calliope.stores.replica_store import ReplicaStore
from calliope.stores.versioned import replica_of
from crdts import VersionVector
from replication.core.agreement import Replicas
from replication.errors import QuorumTimeoutError


class SingleReplica:
    """The agreement of a replica without peers. There is nobody to wait for, so more than one fails at once.

    Args:
        store: the replica's store.
    """

    def __init__(self, store: ReplicaStore) -> None:
        self._store = store

    @property
    def stable(self) -> VersionVector:
        """Everything that is held here: nobody else is there to write what has not seen it."""
        return self._store.vector

    async def acknowledged(self, log_id: str, number: int, replicas: Replicas, timeout: float) -> None:
        """Return if one replica is enough; see `Agreement.acknowledged`."""
        self._check(replicas)

    async def caught_up(self, replicas: Replicas, timeout: float) -> None:
        """Return if one replica is enough; see `Agreement.caught_up`."""
        self._check(replicas)

    def _check(self, replicas: Replicas) -> None:
        if checked_replicas(replicas) not in (1, "majority", "all"):
            raise QuorumTimeoutError(int(replicas), [replica_of(self._store.log_id)])


def checked_replicas(replicas: object) -> Replicas:
    """Return `replicas` if it is a number of replicas, "majority" or "all".

    Raises:
        ValueError: it is not.
    """
    if replicas == "majority":
        return "majority"
    if replicas == "all":
        return "all"
    if type(replicas) is not int or replicas < 1:
        raise ValueError(f"replicas must be a number from 1 on, 'majority' or 'all', not {replicas!r}")
    return replicas
