"""`RemoteReplica`: the director's end of a replica that is a process: started, asked, killed, started again."""

import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any, BinaryIO

import anyio
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from examples.demo.replica_process import LINE_BYTES_MAX

ROOT = Path(__file__).parents[2]

STOPPING_SECONDS = 20.0
"""How long a replica may take to close its node when it is asked to."""


class ReplicaGoneError(Exception):
    """The process ended before it answered; whether it did what it was asked is unknown."""


class CommandFailedError(Exception):
    """The replica could not do what it was asked.

    Attributes:
        acknowledged: if a quorum was not reached: who did answer.
    """

    def __init__(self, message: str, acknowledged: Sequence[str] | None) -> None:
        super().__init__(message)
        self.acknowledged = acknowledged


class _Call:
    """A command that waits for its answer; None: there will be none."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.answer: dict[str, Any] | None = None

    def end(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer
        self.answered.set()


class RemoteReplica:
    """A replica in a process of its own.

    Args:
        replica_id: who it is.
        folder: where it is kept what it says on standard error.
        journal: the URL of its journal.
        cluster: the cluster's name.
        on_news: called when it says how it stands, and when it ends.

    Attributes:
        state: "up", "severed", "killed" or "down".
        journal: the URL of its journal.
        address: where it listens.
        status: how it stood last.
        conflicts: what it told of concurrent events.
    """

    def __init__(self, replica_id: str, folder: Path, journal: str, cluster: str, on_news: Callable[[], None]) -> None:
        self.replica_id = replica_id
        self.state = "down"
        self.address = ""
        self.status: dict[str, Any] = {"connected": [], "entries": 0, "values": {}}
        self.conflicts: list[dict[str, Any]] = []
        self.journal = journal
        self._errors = folder / f"{replica_id}.err"
        self._cluster = cluster
        self._on_news = on_news
        self._process: Process | None = None
        self._over = anyio.Event()
        self._ready = _Call()
        self._calls: dict[int, _Call] = {}
        self._last_number = 0

    async def start(self, tasks: TaskGroup, listen: str = "127.0.0.1:0", peers: Sequence[str] = ()) -> None:
        """Start the process, and return when its node is open.

        Raises:
            ReplicaGoneError: it could not be opened; the error says why.
        """
        self._ready, self._over = _Call(), anyio.Event()
        self.status = {**self.status, "connected": []}
        command = [sys.executable, "-m", "examples.demo.replica_process", self.journal, self.replica_id]
        command += [self._cluster, "--listen", listen, *[f"--peer={peer}" for peer in peers]]
        with _appending(self._errors) as errors:
            self._process = await anyio.open_process(
                command, stdin=PIPE, stdout=PIPE, stderr=errors, cwd=ROOT, start_new_session=True
            )
        tasks.start_soon(self._listen, self._process)
        await self._ready.answered.wait()
        if self._ready.answer is None:
            raise ReplicaGoneError(f"{self.replica_id} did not start: {self.last_words()}")
        if "failed" in self._ready.answer:
            raise ReplicaGoneError(f"{self.replica_id} did not start: {self._ready.answer['failed']}")
        self.address = self._ready.answer["ready"]
        self.state = "up"

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Return what the replica answers to a command.

        Raises:
            CommandFailedError: it could not do it.
            ReplicaGoneError: it is gone.
        """
        if self._process is None or self._process.stdin is None:
            raise ReplicaGoneError(f"{self.replica_id} does not run")
        self._last_number += 1
        number = self._last_number
        call = self._calls[number] = _Call()
        try:
            await self._process.stdin.send(json.dumps({"number": number, "do": do, **arguments}).encode() + b"\n")
            await call.answered.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            del self._calls[number]
        if call.answer is None:
            raise ReplicaGoneError(f"{self.replica_id} ended before it answered {do!r}: {self.last_words()}")
        if "error" in call.answer:
            raise CommandFailedError(call.answer["error"], call.answer.get("acknowledged"))
        return call.answer["result"]

    @property
    def process_id(self) -> int | None:
        """The number of its process, if it has one."""
        return None if self._process is None else self._process.pid

    async def sever(self) -> None:
        """Cut it off from the others."""
        await self.ask("sever")
        self.state = "severed"

    async def mend(self) -> None:
        """Let it reach the others again, and them it."""
        await self.ask("mend")
        self.state = "up"

    async def kill(self) -> None:
        """Kill the process with SIGKILL; return when it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._over.wait()
            self.state = "killed"

    async def stop(self) -> int | None:
        """Let the replica close its node, or kill it if that takes too long; return what its process exits with.

        None: it had none.
        """
        process = self._process
        if process is None or process.stdin is None:
            return None
        await process.stdin.aclose()
        with anyio.move_on_after(STOPPING_SECONDS):
            await self._over.wait()
        await self.kill()
        return process.returncode

    def last_words(self) -> str:
        """Return the end of what the process said on standard error."""
        text = self._errors.read_text(errors="replace").strip() if self._errors.exists() else ""
        return text[-2000:] or "it said nothing"

    async def _listen(self, process: Process) -> None:
        """Hear what a process says, and see to it that it is gone when it says no more, or nobody listens."""
        assert process.stdout is not None
        said = BufferedByteReceiveStream(process.stdout)
        try:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead):
                while True:
                    self._hear(json.loads(await said.receive_until(b"\n", LINE_BYTES_MAX)))
            with anyio.move_on_after(STOPPING_SECONDS):
                await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
            self._end()

    def _hear(self, message: dict[str, Any]) -> None:
        if "number" in message:
            call = self._calls.get(message["number"])
            if call is not None:
                call.end(message)
            return
        name, value = message["tells"], message["value"]
        if name == "status":
            self.status = value
        elif name == "conflict":
            self.conflicts.append(value)
        else:
            self._ready.end({name: value})
        self._on_news()

    def _end(self) -> None:
        self._process = None
        self.state = "down"
        self.status = {**self.status, "connected": []}
        for call in (self._ready, *self._calls.values()):
            if not call.answered.is_set():
                call.end(None)
        self._over.set()
        self._on_news()


def _appending(file: Path) -> BinaryIO:
    return open(file, "ab")
