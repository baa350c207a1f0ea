"""The test's side of `tests.integration.node_process`: replicas that are started, told, killed, started again.

They are forked from a process that has imported everything and done nothing: a start of Python costs half a second.
"""

import multiprocessing
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

from tests.integration.node_process import SECONDS, main

FORKING = multiprocessing.get_context("forkserver")


class ReplicaProcess:
    """A replica, through all of its runs.

    Attributes:
        replica_id: who it is.
        address: where its present run listens.
        acknowledged: how often its runs were promised what, by kind and name.
        runs: the names of its runs.
    """

    def __init__(self, replica_id: str, journal: str) -> None:
        self.replica_id = replica_id
        self.address = ""
        self.acknowledged: Counter[tuple[str, str]] = Counter()
        self.runs: list[str] = []
        self._journal = journal
        self._process: ForkServerProcess
        self._pipe: Connection
        self._reader: threading.Thread
        self._answers: queue.SimpleQueue[dict[str, Any]]
        self._promised = threading.Condition()
        self._runs_now = False

    def start(self, peers: Sequence[Self]) -> None:
        self.runs.append(f"{self.replica_id} {len(self.runs)}")
        self._pipe, far = FORKING.Pipe()
        addresses = [peer.address for peer in peers]
        FORKING.set_forkserver_preload(["tests.integration.node_process"])
        self._process = FORKING.Process(
            target=main, args=(far, self._journal, self.replica_id, self.runs[-1], addresses)
        )
        self._process.start()
        self._runs_now = True
        far.close()
        self._answers = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._pipe, self._answers))
        self._reader.start()
        self.address = self._answers.get(timeout=SECONDS)["address"]

    def send(self, command: str, *arguments: Any) -> None:
        self._pipe.send([command, *arguments])

    def answer(self) -> Any:
        """Return what the next command that was sent came to; all of an error, if it is one."""
        answered = self._answers.get(timeout=SECONDS)
        return answered.get("answer") if "error" not in answered else answered

    def told(self, command: str, *arguments: Any) -> Any:
        self.send(command, *arguments)
        return self.answer()

    def until_acknowledged(self, more: int) -> None:
        """Return when so many more promises were made."""
        with self._promised:
            enough = self.acknowledged.total() + more
            assert self._promised.wait_for(lambda: self.acknowledged.total() >= enough, SECONDS)

    def kill(self) -> None:
        self._process.kill()
        assert self._finish() == -9

    def end(self) -> int | None:
        """Let it leave; return how the process ended."""
        self.send("leave")
        return self._finish()

    def clean_up(self) -> None:
        if self._runs_now:
            self._process.kill()
            self._finish()

    def _finish(self) -> int | None:
        self._process.join(SECONDS)
        self._reader.join()
        self._pipe.close()
        self._runs_now = False
        code = self._process.exitcode
        self._process.close()
        return code

    def _read(self, pipe: Connection, answers: queue.SimpleQueue[dict[str, Any]]) -> None:
        while True:
            try:
                said = pipe.recv()
            except (EOFError, OSError):  # it has ended, or was killed while it said something
                return
            if "acknowledged" in said:
                with self._promised:
                    kind, name = said["acknowledged"]
                    self.acknowledged[kind, name] += 1
                    self._promised.notify_all()
            else:
                answers.put(said)


@contextmanager
def replica_processes(folder: Path, *replica_ids: str, **journals: str) -> Iterator[list[ReplicaProcess]]:
    """Replicas that run and know one another; killed at the end, whatever happens.

    Args:
        folder: where their journals are …
        replica_ids: who they are.
        journals: … unless the URL of a replica's journal is said here.
    """
    replicas = [
        ReplicaProcess(replica_id, journals.get(replica_id, str(folder / f"{replica_id}.db")))
        for replica_id in replica_ids
    ]
    try:
        for number, replica in enumerate(replicas):
            replica.start(replicas[:number])
        yield replicas
    finally:
        for replica in replicas:
            replica.clean_up()


def converged(replicas: Sequence[ReplicaProcess]) -> dict[str, Any]:
    """Let all stop to write and hear of everything; return what they hold, which is the same."""
    for replica in replicas:
        replica.send("stop")
    tokens = [replica.answer() for replica in replicas]
    for replica in replicas:
        replica.send("wait", *tokens)
    for replica in replicas:
        assert replica.answer() is None
    first, *others = (replica.told("report") for replica in replicas)
    for other in others:
        assert sorted(other.pop("events")) == sorted(first["events"])
        assert other == {name: fact for name, fact in first.items() if name != "events"}
    return first
