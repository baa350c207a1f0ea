"""Replicas whose journals are on NATS, while processes, servers and leaders are killed: nothing is lost or doubled."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import pytest

from calliope.stores.nats import NatsStore
from calliope.testing.everything import everything
from calliope.testing.replica_contract import whole_log
from tests.integration.journal_clerks import clerks
from tests.integration.node_processes import FORKING, converged, replica_processes
from tests.integration.replica_scribe import STREAMS, main
from tests.integration.replicas_on_servers import PATIENCE_SECONDS, heard, written_while_killed
from tests.integration.test_nodes_killed import check_nothing_lost_nothing_twice
from tests.nats import new_journal, own_cluster, own_server, url_of_journal

pytestmark = pytest.mark.soak


class Scribes:
    """Processes of `replica_scribe`.

    Attributes:
        promised: what they said.
    """

    def __init__(self, url: str) -> None:
        self.promised: list[str] = []
        self._url = url
        self._count = 0
        self._running: list[tuple[ForkServerProcess, Connection]] = []

    def start(self) -> None:
        """Start another one, and wait until it was promised something."""
        here, there = FORKING.Pipe()
        process = FORKING.Process(target=main, args=(there, self._url, f"w{self._count}"))
        self._count += 1
        process.start()
        there.close()
        self._running.append((process, here))
        assert here.poll(PATIENCE_SECONDS)

    def hear(self, seconds: float) -> None:
        """Let them write for a while, and hear what they say."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _, pipe in self._running:
                self._drain(pipe)
            time.sleep(0.01)

    def kill(self, which: int) -> None:
        """Kill one, wherever it is."""
        process, pipe = self._running.pop(which)
        process.kill()
        process.join()
        code = process.exitcode
        process.close()
        self._drain(pipe)
        pipe.close()
        assert code == -9

    def kill_all(self) -> None:
        """Kill those that are left."""
        while self._running:
            self.kill(0)

    def _drain(self, pipe: Connection) -> None:
        with suppress(EOFError):
            while pipe.poll():
                self.promised.append(pipe.recv())


@contextmanager
def scribes(url: str) -> Iterator[Scribes]:
    """Processes that write a replica's log; killed at the end, whatever happens."""
    FORKING.set_forkserver_preload(["tests.integration.replica_scribe"])
    running = Scribes(url)
    try:
        yield running
    finally:
        running.kill_all()


async def check(url: str, promised: list[str]) -> None:
    """Check that the log, the streams and what is known of their writers fit together, and hold what was promised."""
    store = await NatsStore.open(url)
    entries = await whole_log(store)
    numbers: dict[str, int] = {}
    for entry in entries:
        assert entry.number == numbers.get(entry.log_id, 0) + 1
        numbers[entry.log_id] = entry.number
    assert store.vector == numbers
    in_log = [change.event_id for entry in entries if entry.kind == "events" for change in entry.changes]
    assert len(in_log) == len(set(in_log))
    assert set(in_log) >= set(promised) - {""}
    operations = sum(len(entry.changes) for entry in entries if entry.kind == "operations")
    assert operations >= promised.count("")
    records = await everything(store)
    named = [record.attributes.event_id for record in records if record.attributes.event_id is not None]
    assert sorted(named) == sorted(filter(None, in_log))
    for stream in range(STREAMS):
        own = [record for record in records if record.stream_id == f"s{stream}"]
        assert [record.sequence_number for record in own] == list(range(1, len(own) + 1))
        counters: dict[str, int] = {}
        for record in own:
            assert record.version[record.writer] == counters.get(record.writer, 0) + 1
            counters[record.writer] = record.version[record.writer]
        assert await store.stream_version(f"s{stream}") == counters
    assert len(records) == 2 * len(in_log)
    print(f"{len(records)} events and {operations} operations, {len(promised)} commits promised")
    await store.aclose()


def test_processes_that_are_killed_wherever_they_are_leave_nothing_half_done() -> None:
    random = Random(7)
    with own_server() as server:
        url = url_of_journal(server.url, new_journal(), timeout=PATIENCE_SECONDS)
        with scribes(url) as running:
            for _ in range(3):
                running.start()
            for _ in range(7):
                running.hear(random.uniform(0.2, 0.6))
                running.kill(random.randrange(3))
                running.start()
            running.kill_all()
            asyncio.run(check(url, running.promised))


def test_processes_that_write_while_the_server_and_the_node_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    with own_server() as server:
        url = url_of_journal(server.url, new_journal(), timeout=PATIENCE_SECONDS)
        acknowledged, held, replicas = written_while_killed(server, url, tmp_path)
    check_clerks(held, acknowledged)
    check_nothing_lost_nothing_twice(held, replicas)


def test_in_a_cluster_whose_leaders_are_killed_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    acknowledged = set[str]()
    with own_cluster() as cluster:
        name = new_journal()
        url = url_of_journal(cluster.url, name, replicas=3, timeout=PATIENCE_SECONDS)
        with replica_processes(tmp_path, "berlin", "lisbon", berlin=url) as replicas:
            for replica in replicas:
                assert replica.told("write", 0.2) is None
            with clerks(url, ("anna", "ben")) as pipes:
                acknowledged.update(map(heard, pipes))
                for stream in (f"{name}_log", name):
                    killed = cluster.kill_leader_of(stream)
                    for _ in range(20):
                        acknowledged.update(map(heard, pipes))
                    killed.start()
                    cluster.wait_until_current(stream)
                for pipe in pipes:
                    pipe.send("end")
                for pipe in pipes:
                    with suppress(EOFError):
                        while pipe.poll(PATIENCE_SECONDS):
                            acknowledged.add(pipe.recv())
            held = converged(replicas)
            assert [replica.end() for replica in replicas] == [0, 0]
    check_clerks(held, acknowledged)
    check_nothing_lost_nothing_twice(held, replicas)


def check_clerks(held: dict[str, list[str]], acknowledged: set[str]) -> None:
    """Check that what clerks wrote is there once, and take it out of what is held."""
    clerks_wrote = [name for name in held["events"] if not name.startswith(("berlin", "lisbon"))]
    assert len(acknowledged) > 50
    print(f"{len(acknowledged)} events of other processes, all there once")
    assert sorted(clerks_wrote) == sorted(acknowledged)
    held["events"] = [name for name in held["events"] if name not in acknowledged]
