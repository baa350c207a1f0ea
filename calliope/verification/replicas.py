"""Every log entry and state of a journal against its checksum, and the log against what is said of it."""

from collections.abc import Iterator
from typing import cast

import apsw

from calliope.stores.replica_store import StoredState
from calliope.stores.state_rows import state_checksum
from calliope.stores.stream_versions import decode_observed
from calliope.stores.versioned import EntryKind, LogEntry
from calliope.verification.damage import Damage, span

_ENTRIES = (
    "SELECT position, log_id, log_entry.log, log_entry.number, kind, checksum, body FROM log_entry"
    " LEFT JOIN replica_log ON replica_log.id = log_entry.log ORDER BY position"
)
_LOGS = "SELECT id, log_id, number, floor FROM replica_log"
_NUMBERS = "SELECT number FROM log_entry WHERE log = ? AND number > ? ORDER BY number"
_HEAD = "SELECT log_position, checkpoint, (SELECT coalesce(max(position), 0) FROM log_entry) FROM replica"
_VERSIONS = (
    "SELECT coalesce(stream_id, 'number ' || stream), writer, observed FROM stream_version"
    " LEFT JOIN stream ON stream.id = stream"
)


def damaged_log_entries(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield the entries that are not whole, the numbers that are missing above the floor, and positions ahead."""
    for position, log_id, log, number, kind, checksum, body in cast(
        Iterator[tuple[int, str | None, int, int, EntryKind, int, bytes]], connection.execute(_ENTRIES)
    ):
        place = f"log position {position}"
        if log_id is None:
            yield Damage(place, f"its log, number {log}, is not in the journal")
        elif not LogEntry(log_id, number, kind, checksum, body).is_whole:
            yield Damage(place, f"entry {number} of log {log_id!r} does not match its checksum")
    logs = cast(list[tuple[int, str, int, int]], connection.execute(_LOGS).fetchall())
    for log, log_id, number, floor in logs:
        yield from _missing_numbers(connection, log, log_id, number, floor)
    heads = cast(list[tuple[int, int, int]], connection.execute(_HEAD).fetchall())
    if len(heads) != 1:
        yield Damage("table replica", f"it has {len(heads)} rows instead of one")
    for said, checkpoint, held in heads:
        if held > said:
            yield Damage("table replica", f"it says that the log ends at position {said}, but it ends at {held}")
        if checkpoint > said:
            yield Damage(
                "table replica", f"it says that states contain the log up to {checkpoint}, but it ends at {said}"
            )


def damaged_versions(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield what cannot be read of what the writers of streams had observed."""
    for stream_id, writer, observed in cast(Iterator[tuple[str, str, bytes]], connection.execute(_VERSIONS)):
        try:
            decode_observed(observed)
        except Exception as error:  # whatever damaged bytes make of a decoder
            reason = f"what its writer {writer!r} had observed cannot be read: {error}"
            yield Damage(f"stream {stream_id!r}", reason)


def damaged_states(connection: apsw.Connection) -> Iterator[Damage]:
    """Yield the states that do not match their checksums."""
    for key, type_name, body, checksum in cast(
        Iterator[tuple[str, str, bytes, int]],
        connection.execute("SELECT key, type_name, body, checksum FROM crdt_state"),
    ):
        if state_checksum(StoredState(key, type_name, body)) != checksum:
            yield Damage(f"state of key {key!r}", "does not match its checksum")


def _missing_numbers(connection: apsw.Connection, log: int, log_id: str, number: int, floor: int) -> Iterator[Damage]:
    before = floor
    for (found,) in cast(Iterator[tuple[int]], connection.execute(_NUMBERS, (log, floor))):
        if found > before + 1:
            yield Damage(f"log {log_id!r}", f"{span('number', before + 1, found - 1)} missing")
        before = found
    if before < number:
        yield Damage(f"log {log_id!r}", f"{span('number', before + 1, number)} missing")
    elif before > max(number, floor):
        yield Damage(f"log {log_id!r}", f"it says that it ends at {number}, but it holds {before}")
