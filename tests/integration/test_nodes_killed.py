"""Three nodes as processes that write all the time; one is killed at random moments, again and again.

No acknowledged update is lost, no operation takes effect twice, and all end with the same. While one is dead, the
others go on at a majority, and nobody is told that all have agreed.
"""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.integration.node_processes import ReplicaProcess, converged, replica_processes

WHOLE_CLUSTER = ("berlin", "lisbon", "paris")


def check_nothing_lost_nothing_twice(held: dict[str, Any], replicas: Sequence[ReplicaProcess]) -> None:
    """Each run wrote one thing after the other, so at most one of each kind is there that was not acknowledged."""
    acknowledged: Counter[tuple[str, str]] = Counter()
    for replica in replicas:
        acknowledged.update(replica.acknowledged)
    runs = [run for replica in replicas for run in replica.runs]
    for run in runs:
        counted, promised = held["counts"].get(f"count {run}", 0), acknowledged["count", run]
        assert promised <= counted <= promised + 1, run
    promised = sum(acknowledged["total", run] for run in runs)
    assert promised <= held["counts"]["count"] <= promised + len(runs)
    for kind, names in (("element", held["sets"]["elements"]), ("event", held["events"])):
        promised_names = {name for promised_kind, name in acknowledged if promised_kind == kind}
        assert len(names) == len(set(names)), f"an {kind} is there twice"
        assert promised_names <= set(names), f"an acknowledged {kind} is lost"
        assert len(set(names) - promised_names) <= len(runs)


def check_quorums(survivors: Sequence[ReplicaProcess], element: str) -> None:
    """With one of three dead: a majority agrees, and who asks for all is told who answered."""
    first, second = survivors
    assert first.told("add", element, "majority", 60) is None
    assert element in second.told("get", "majority", 60)
    for command in (("add", f"{element}, all", "all", 0.3), ("get", "all", 0.3)):
        refused = first.told(*command)
        assert refused["required"] == 3
        assert refused["acknowledged_by"] == sorted([first.replica_id, second.replica_id])
        assert (
            f"2 of the required 3 replicas answered in time ({', '.join(refused['acknowledged_by'])})"
            in (refused["error"])
        )


def killed_repeatedly(folder: Path, kills: int, pause_seconds: float) -> None:
    chance = Random(kills)
    with replica_processes(folder, *WHOLE_CLUSTER) as replicas:
        for replica in replicas:
            assert replica.told("write", pause_seconds) is None
        for kill in range(kills):
            victim = replicas[kill % 3]
            survivors = [replica for replica in replicas if replica is not victim]
            victim.until_acknowledged(1)
            time.sleep(chance.uniform(0, 0.3))
            victim.kill()
            if kill == 0:
                check_quorums(survivors, f"kill {kill}")
            victim.start(survivors)
            assert victim.told("write", pause_seconds) is None
        victim.until_acknowledged(1)
        held = converged(replicas)
        check_nothing_lost_nothing_twice(held, replicas)
        assert {"kill 0", "kill 0, all"} <= set(held["sets"]["quorum"])
        assert [replica.end() for replica in replicas] == [0, 0, 0]
        promises = sum(replica.acknowledged.total() for replica in replicas)
    print(f"{kills} kills, {promises} promises, all kept")


def test_three_kills_lose_nothing_that_was_acknowledged_and_the_others_go_on(tmp_path: Path) -> None:
    killed_repeatedly(tmp_path, 3, pause_seconds=0.03)


@pytest.mark.soak
def test_thirty_kills_lose_nothing_that_was_acknowledged_and_the_others_go_on(tmp_path: Path) -> None:
    killed_repeatedly(tmp_path, 30, pause_seconds=0.01)
