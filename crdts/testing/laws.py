"""What holds of any replicas at any time, and of all replicas at the end.

The cluster checks after every step and every join that the replica is the same, in version, value and state, as the
first one that saw the same commands, so each law here only has to reach one set of commands by two routes.
"""

from __future__ import annotations

from collections.abc import Callable

from crdts.testing.cluster import Cluster


def check_settled(cluster: Cluster, choose: Callable[[int], int]) -> None:
    """Delivers everything everywhere, last to a newcomer; all are then the same, and so when all is stable."""
    for member in cluster.members:
        cluster.catch_up(member, choose)
    for member in cluster.members:
        cluster.stabilize(member)
        cluster.read_back(member)
    cluster.catch_up(cluster.newcomer("new"), choose)


def check_laws(cluster: Cluster) -> None:
    """Checks on copies of the replicas as they are what may not change them, and how they merge.

    Neither stabilising nor the way through bytes changes them; merging is idempotent, commutative and associative.
    """
    for member in cluster.members:
        for step in (cluster.stabilize, cluster.read_back):
            step(member.kept())
            cluster.story.forget()
    nothing = cluster.newcomer("new")
    a, b, c = (*cluster.members, nothing)[:3]
    cluster.join(nothing, a)
    cluster.join(a, nothing)
    cluster.join(a, a)
    ab, ba = cluster.join(a, b), cluster.join(b, a)
    cluster.join(a, ab)
    cluster.join(ab, c)
    cluster.join(a, cluster.join(b, c))
    cluster.join(c, ba)
