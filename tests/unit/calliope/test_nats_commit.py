"""Commits of a replica's log, as messages of JetStream."""

import pytest

from calliope.errors import CorruptJournalError
from calliope.stores import nats_commit
from calliope.stores.log_state import LogState
from calliope.stores.nats_commit import NO_COMMIT, Commit, Part, fields_of, joined, messages_of, part_of
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import log_entry
from calliope.testing.replica_contract import entries_of, events
from crdts import VersionVector

STATE = LogState("b~2", "b~1", 7, 3, 2, VersionVector({"b~1": 4, "r~1": 3}), VersionVector({"b~1": 1}))

COMMIT = Commit(
    9,
    "name",
    fields_of(STATE),
    "holder",
    [*entries_of("r~1", 2), log_entry("r~1", 3, "events", [events("s", writer="rome")])],
    {"s": 1},
    [("s", "rome", 1, b"", b"\x80")],
    [StoredState("k", "GCounter", b"state")],
    {"kept": b"1", "forgotten": None},
)


def parts_of(messages: list[bytes]) -> list[Part]:
    return [part_of(sequence, message) for sequence, message in enumerate(messages, 1)]


def test_a_commit_says_how_the_log_stands_and_where_its_entries_are() -> None:
    (message,) = messages_of(COMMIT)
    read = joined(parts_of([message]))
    assert read == COMMIT
    assert read.state == STATE
    assert read.placed_entries == list(enumerate(COMMIT.entries, 6))
    assert read.has_events
    assert (NO_COMMIT.state, NO_COMMIT.placed_entries, NO_COMMIT.has_events) == (LogState(), [], False)


def test_a_large_commit_is_in_parts_all_of_which_are_needed_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_commit, "PART_BYTES", 50)
    messages = messages_of(COMMIT)
    assert len(messages) > 3
    parts = parts_of(messages)
    assert joined(parts) == COMMIT
    other = parts_of(messages_of(NO_COMMIT))
    for wrong in (parts[1:], parts[:-1], parts[::-1], [*parts, parts[-1]], [*parts[:-1], other[0]]):
        with pytest.raises(CorruptJournalError, match="is not whole"):
            joined(wrong)


def test_every_damaged_byte_is_found() -> None:
    (message,) = messages_of(COMMIT)
    for place in range(len(message)):
        damaged = bytearray(message)
        damaged[place] ^= 1
        with pytest.raises(CorruptJournalError, match="message 1 of the replica's log does not match its checksum"):
            part_of(1, bytes(damaged))
    with pytest.raises(CorruptJournalError):
        part_of(1, b"")


def test_a_later_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_commit, "FORM", 2)
    (message,) = messages_of(COMMIT)
    monkeypatch.undo()
    with pytest.raises(CorruptJournalError, match="is of form 2, which is not known"):
        part_of(1, message)
