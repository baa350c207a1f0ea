"""What a disk holds after the power failed: what was synced, and of the rest whatever it had got to.

The model is that of an ordinary file system on a disk with a volatile cache: sectors of 512 bytes are written whole or
not at all, those that were not synced in any order or never; a file may have grown without its data; a file that was
created or deleted may be back in its former state until its folder is synced (Pillai et al., "All File Systems Are Not
Created Equal", OSDI 2014). SQLite syncs the folder with the first sync of a new journal or write-ahead log.

After a failed sync Linux takes what was to be synced for clean: it can still be read, but no later sync writes it
(Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.integration.faulty_file_layer import FileCall

SECTOR_BYTES = 512


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    exists_durably: bool = False
    exists: bool = True
    pending: list[FileCall] = field(default_factory=list)


class Disk:
    """The files of one folder, replayed from the calls that changed them."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def carry_out(self, call: FileCall) -> None:
        """Take note of a call that was completed."""
        if call.kind == "acknowledge":
            return
        file = self._files.get(call.file)
        if file is None or (call.kind == "create" and not file.exists):
            file = self._files[call.file] = _File(exists_durably=file is not None and file.exists_durably)
        if call.kind == "sync":
            self._sync(call.file, file)
        elif call.kind == "failed sync":
            file.pending.clear()
        elif call.kind == "delete":
            file.exists = False
        elif call.kind in ("write", "truncate"):
            file.pending.append(call)

    def after_power_cut(self, chance: Random | None) -> dict[str, bytes]:
        """Return the files' contents; without a source of chance nothing survives that was not synced."""
        contents = {}
        for name, file in self._files.items():
            exists = file.exists_durably if chance is None else chance.choice((file.exists, file.exists_durably))
            if exists:
                contents[name] = _survivors(file, chance)
        return contents

    def _sync(self, name: str, file: _File) -> None:
        for call in file.pending:
            _apply(file.durable, call)
        file.pending.clear()
        if not file.exists_durably and name.endswith(("-wal", "-journal")):
            for other in self._files.values():  # with the folder go all names
                other.exists_durably = other.exists
        file.exists_durably = file.exists


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Put a disk's files into a folder."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def replayed(calls: Sequence[FileCall]) -> Disk:
    """Return the disk after all of the calls."""
    disk = Disk()
    for call in calls:
        disk.carry_out(call)
    return disk


def _apply(content: bytearray, call: FileCall) -> None:
    if call.kind == "truncate":
        _resize(content, call.offset)
    else:
        _resize(content, max(len(content), call.offset + len(call.data)))
        content[call.offset : call.offset + len(call.data)] = call.data


def _survivors(file: _File, chance: Random | None) -> bytes:
    content = bytearray(file.durable)
    if chance is None or not file.pending:
        return bytes(content)
    versions = _versions(content, file.pending)
    newest = versions[-1]
    _resize(content, chance.choice([len(version) for version in versions]))
    eagerness = chance.choice((0.1, 0.5, 0.9))
    for start in range(0, min(len(content), len(newest)), SECTOR_BYTES):
        if chance.random() < eagerness:
            sector = chance.choice(versions)[start : start + SECTOR_BYTES]
            content[start : start + len(sector)] = sector[: len(content) - start]
    return bytes(content)


def _versions(content: bytearray, pending: Sequence[FileCall]) -> list[bytes]:
    """Return the file after each of the calls; what a sector holds is what one of them held."""
    versions = [bytes(content)]
    growing = bytearray(content)
    for call in pending:
        _apply(growing, call)
        versions.append(bytes(growing))
    return versions


def _resize(content: bytearray, size: int) -> None:
    if size <= len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
