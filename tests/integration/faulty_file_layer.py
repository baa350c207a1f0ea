"""A file layer for SQLite that records every call that changes a file, and fails or kills at a chosen one.

It stands below the page checksums and above the system's files:

    journal ── page checksums ── faulty file layer ── operating system

What it records is enough to say afterwards what a disk would hold had the power failed at any moment; see `power_cut`.
"""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import apsw

from calliope.journal import Journal
from calliope.stores.page_checksums import PageChecksums
from calliope.stores.sqlite import Durability, SqliteStore

CallKind = Literal["create", "write", "sync", "failed sync", "truncate", "delete", "acknowledge"]

SECTOR_BYTES = 512
KILLED_STATUS = 77
"""The exit status of a process that a fault killed."""

_layer_numbers = count()


class FileCall(NamedTuple):
    """One call that changes a file, or the moment of an acknowledgement.

    Attributes:
        kind: what is done.
        file: the file's name, without its folder.
        offset: where a write begins; a truncation's new size.
        data: what is written.
    """

    kind: CallKind
    file: str
    offset: int = 0
    data: bytes = b""


class Fault:
    """What happens at one of the calls, counted from 1 among those that `concerns` accepts.

    Args:
        at: the number of the call.
        strike: raises, or ends the process; it is given what would carry the call out in part.
        times: at how many calls in a row it strikes.
        concerns: which calls are counted.
    """

    def __init__(
        self,
        at: int,
        strike: Callable[[Callable[[], None]], None],
        times: int = 1,
        concerns: Callable[[FileCall], bool] = lambda _: True,
    ) -> None:
        self._at = at
        self._strike = strike
        self._times = times
        self._concerns = concerns
        self.count = 0

    def meet(self, call: FileCall, carry_out_half: Callable[[], None]) -> None:
        """Count a call, and strike if it is its turn."""
        if self._concerns(call):
            self.count += 1
            if self._at <= self.count < self._at + self._times:
                self._strike(carry_out_half)

    @property
    def struck(self) -> bool:
        """Whether the call came."""
        return self.count >= self._at


def kill(_: Callable[[], None]) -> None:
    """End the process before the call is carried out, as SIGKILL would."""
    os._exit(KILLED_STATUS)


def _torn_at(length: int) -> int:
    """Return after how many bytes a write is torn: about half of it, and whole sectors, which a disk never tears."""
    return length // 2 // SECTOR_BYTES * SECTOR_BYTES


def tear_and_kill(carry_out_half: Callable[[], None]) -> None:
    """End the process when the call is half done."""
    carry_out_half()
    os._exit(KILLED_STATUS)


def fail_io(carry_out_half: Callable[[], None]) -> None:
    """Report an input/output error after half of the call was done."""
    carry_out_half()
    raise apsw.IOError("injected: the disk failed")


def fill_disk(carry_out_half: Callable[[], None]) -> None:
    """Report a full disk after half of the call was done."""
    carry_out_half()
    raise apsw.FullError("injected: the disk is full")


NO_FAULT = Fault(0, kill, times=0)


class FaultyFileLayer(apsw.VFS):
    """Records calls and meets faults.

    Attributes:
        calls: what was done so far, in order.
        fault: what is going to go wrong; may be exchanged at any time.
        vfs: the name of the page checksums above, to open stores with.
    """

    def __init__(self, fault: Fault = NO_FAULT) -> None:
        number = next(_layer_numbers)
        self.calls: list[FileCall] = []
        self.fault = fault
        self.vfs = f"checksums-over-faults-{number}"
        super().__init__(f"faults-{number}", "")
        self._checksums = PageChecksums(self.vfs, f"faults-{number}")

    def journal(self, path: Path, durability: Durability = "full") -> Journal:
        """Return the journal at a path, over this layer."""
        return Journal(lambda: SqliteStore.open(path, durability=durability, vfs=self.vfs))

    def acknowledge(self, path: Path) -> None:
        """Record that a caller was told that its events are durable, and what the mark said then."""
        mark = Path(f"{path}-mark")
        if mark.exists():
            self.calls.append(FileCall("write", mark.name, 0, mark.read_bytes()))
        self.calls.append(FileCall("acknowledge", path.name))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None and not os.path.exists(path):
            self.calls.append(FileCall("create", os.path.basename(path)))
        return _FaultyFile(self, os.path.basename(path or ""), name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        call = FileCall("delete", os.path.basename(filename))
        self.fault.meet(call, lambda: None)
        super().xDelete(filename, syncdir)
        self.calls.append(call)


class _FaultyFile(apsw.VFSFile):
    def __init__(
        self, layer: FaultyFileLayer, name: str, path: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__("", path, flags)
        self._layer = layer
        self._name = name

    def xWrite(self, data: bytes, offset: int) -> None:
        def write(part: bytes) -> None:
            super(_FaultyFile, self).xWrite(part, offset)
            self._layer.calls.append(FileCall("write", self._name, offset, bytes(part)))

        self._layer.fault.meet(
            FileCall("write", self._name, offset, bytes(data)), lambda: write(data[: _torn_at(len(data))])
        )
        write(data)

    def xSync(self, flags: int) -> None:
        call = FileCall("sync", self._name)
        self._layer.fault.meet(call, lambda: self._layer.calls.append(FileCall("failed sync", self._name)))
        super().xSync(flags)
        self._layer.calls.append(call)

    def xTruncate(self, newsize: int) -> None:
        call = FileCall("truncate", self._name, newsize)
        self._layer.fault.meet(call, lambda: None)
        super().xTruncate(newsize)
        self._layer.calls.append(call)
