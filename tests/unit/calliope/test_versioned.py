"""Entries: whole, gathered in order, and encoded as the format says."""

import msgspec
import pytest

from calliope.stores.log_tail import LOG_TAIL_BYTES_MAX, LogTail
from calliope.stores.versioned import (
    ENTRY_BYTES_TARGET,
    EntryGathering,
    Item,
    LogEntry,
    Versioned,
    checksum_of,
    encode_change,
    log_entry,
    replica_of,
)


def change(counter: int, size: int = 1) -> Versioned:
    return Versioned("key", "berlin~1", counter, {"a": 1}, 7, None, ("t",), {"m": [1]}, (Item("T", 1, bytes(size)),))


def encoded(*changes: Versioned) -> list[bytes]:
    return list(map(encode_change, changes))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536])
def test_an_entry_gives_its_changes_back(count: int):
    changes = [change(counter) for counter in range(1, min(count, 100) + 1)]
    changes += changes[:1] * (count - len(changes))
    entry = log_entry("berlin~1", 3, "operations", changes)
    assert entry.changes == changes
    assert entry.body == msgspec.msgpack.encode(changes)
    assert entry.is_whole


def test_an_entry_is_whole_if_nothing_of_it_was_changed():
    entry = log_entry("berlin~1", 3, "operations", [change(1)])
    assert entry.checksum == checksum_of("berlin~1", 3, "operations", entry.body)
    for other in (
        LogEntry("berlin~2", 3, "operations", entry.checksum, entry.body),
        LogEntry("berlin~1", 4, "operations", entry.checksum, entry.body),
        LogEntry("berlin~1", 3, "events", entry.checksum, entry.body),
        LogEntry("berlin~1", 3, "operations", entry.checksum, entry.body + b"\0"),
        LogEntry("berlin~1", 3, "operations", entry.checksum ^ 1, entry.body),
    ):
        assert not other.is_whole
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=LogEntry) == entry


def test_changes_are_gathered_by_kind_in_order():
    gathering = EntryGathering("berlin~1", 4)
    numbers = [
        gathering.add("operations", encoded(change(1))),
        gathering.add("operations", encoded(change(2))),
        gathering.add("events", encoded(change(3))),
        gathering.add("operations", encoded(change(4), change(5))),
    ]
    assert numbers == [5, 5, 6, 7]
    entries = gathering.entries()
    assert [(e.number, e.kind, [c.counter for c in e.changes]) for e in entries] == [
        (5, "operations", [1, 2]),
        (6, "events", [3]),
        (7, "operations", [4, 5]),
    ]
    assert all(entry.is_whole for entry in entries)
    assert gathering.entries() == []
    assert gathering.add("operations", encoded(change(6))) == 8


def test_a_large_change_makes_an_entry_of_its_own():
    gathering = EntryGathering("berlin~1", 0)
    gathering.add("operations", encoded(change(1), change(2, 2 * ENTRY_BYTES_TARGET), change(3), change(4)))
    assert [[c.counter for c in entry.changes] for entry in gathering.entries()] == [[1], [2], [3, 4]]


def test_a_log_id_tells_its_replica():
    assert replica_of("berlin~00ff") == "berlin"


def test_the_tail_forgets_the_oldest_beyond_its_limit():
    tail = LogTail(10)
    large = log_entry("berlin~1", 1, "operations", [change(1, LOG_TAIL_BYTES_MAX // 2)])
    assert not tail.awaited
    for position in (11, 12, 13):
        tail.publish([(position, large)])
    assert [position for position, _ in tail.after(12)] == [13]
    assert (tail.covers(12), tail.covers(11)) == (True, False)
    tail.reset(20)
    assert (tail.covers(20), tail.covers(19), tail.after(20)) == (True, False, [])
