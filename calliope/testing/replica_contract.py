"""What a replica's store promises of its log: order, numbers, and that they are there after a crash."""
# ruff: noqa: D102 - the name of a test is a sentence

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import (
    ExpectedVersionError,
    ForkedLogError,
    JournalClosedError,
    LogEntryError,
    LogGapError,
    MalformedEntryError,
    ReplicaIdInUseError,
    StreamKindError,
)
from calliope.payload import encode_plain
from calliope.stores.protocol import StreamSummary
from calliope.stores.record import Selection
from calliope.stores.replica_store import ReplicaStore, StoredState
from calliope.stores.versioned import ENTRY_BYTES_TARGET, Item, LogEntry, Versioned, log_entry
from calliope.testing.everything import everything
from calliope.testing.requests import TIMESTAMP, append_of, writing_of
from crdts import VersionVector

NOTHING = VersionVector()


def operations(counter: int = 1, *, key: str = "visits", size: int = 10) -> Versioned:
    """Return a change of one operation of a key."""
    return Versioned(key, "paris~1", counter, {}, TIMESTAMP, None, (), {}, (Item("GCounter", 1, bytes(size)),))


def events(
    stream_id: str = "s", counter: int = 1, *, writer: str = "paris", count: int = 1, payload: bytes | None = None
) -> Versioned:
    """Return a change of events of a stream, whose payloads tell the writer and the counter unless one is given."""
    payloads = [encode_plain(f"{writer} {counter + n}") if payload is None else payload for n in range(count)]
    items = tuple(Item("Happened", 1, each) for each in payloads)
    return Versioned(stream_id, writer, counter, {}, TIMESTAMP, None, (), {}, items)


def entries_of(log_id: str, *numbers: int) -> list[LogEntry]:
    """Return entries of operations."""
    return [log_entry(log_id, number, "operations", [operations(number)]) for number in numbers]


async def whole_log(store: ReplicaStore, have: VersionVector = NOTHING, bytes_max: int = 1_000_000) -> list[LogEntry]:
    """Return all entries that somebody lacks, read page by page.

    Raises:
        AssertionError: a page stands still.
    """
    entries: list[LogEntry] = []
    after = 0
    while True:
        page = await store.read_log(have=have, after=after, bytes_max=bytes_max)
        entries += page.entries
        if page.complete:
            return entries
        assert page.through > after, "reading the log stands still"
        after = page.through


class ReplicaContract:
    """What is written, received, read, forgotten and remembered."""

    async def test_a_new_store_holds_nothing(self, replica: ReplicaStore) -> None:
        assert isinstance(replica, ReplicaStore)
        assert (replica.log_id, replica.vector.to_dict(), replica.floor.to_dict(), replica.checkpoint) == (
            "",
            {},
            {},
            0,
        )
        assert replica.log_tail.position == 0
        page = await replica.read_log(have=NOTHING, after=0, bytes_max=1)
        assert (page.entries, page.through, page.head, page.complete) == ([], 0, 0, True)
        assert (await replica.states(limit=10), await replica.load_state("k")) == ([], None)
        assert (await replica.remembered(), (await replica.stream_version("s")).to_dict()) == ({}, {})

    async def test_operations_are_numbered_in_the_log_that_is_used(self, replica: ReplicaStore) -> None:
        with pytest.raises(ValueError, match="no log was ever used"):
            await replica.append_operations([operations()])
        await replica.use_log("berlin~1")
        assert replica.log_id == "berlin~1"
        assert await replica.append_operations([operations(1)]) == ("berlin~1", 1)
        assert await replica.append_operations([operations(2), operations(3)]) == ("berlin~1", 2)
        with pytest.raises(ValueError, match="there are no operations"):
            await replica.append_operations([])
        await replica.use_log("berlin~2")
        assert await replica.append_operations([operations(4)]) == ("berlin~2", 1)
        await replica.use_log("berlin~1")
        assert await replica.append_operations([operations(5)]) == ("berlin~1", 3)
        assert replica.vector == {"berlin~1": 3, "berlin~2": 1}
        log = await whole_log(replica)
        assert [(e.log_id, e.number, e.kind) for e in log] == [
            ("berlin~1", 1, "operations"),
            ("berlin~1", 2, "operations"),
            ("berlin~2", 1, "operations"),
            ("berlin~1", 3, "operations"),
        ]
        assert [change.counter for entry in log for change in entry.changes] == [1, 2, 3, 4, 5]
        assert all(entry.is_whole for entry in log)
        assert replica.log_tail.after(0) == list(enumerate(log, 1))
        assert await everything(replica) == []

    async def test_those_who_append_at_once_share_entries(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        places: dict[int, tuple[str, int]] = {}

        async def append(counter: int) -> None:
            places[counter] = await replica.append_operations([operations(counter)])

        async with anyio.create_task_group() as group:
            for counter in range(1, 65):
                group.start_soon(append, counter)
        log = await whole_log(replica)
        assert len(log) <= 8
        assert {c: ("berlin~1", e.number) for e in log for c in [change.counter for change in e.changes]} == places

    async def test_entries_have_about_the_size_that_is_aimed_at(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        sizes = [ENTRY_BYTES_TARGET // 3] * 7 + [ENTRY_BYTES_TARGET * 3, 1, 1]
        changes = [operations(counter, size=size) for counter, size in enumerate(sizes, 1)]
        _, number = await replica.append_operations(changes)
        log = await whole_log(replica)
        assert [len(entry.changes) for entry in log] == [2, 2, 2, 1, 1, 2]
        assert (number, [change for entry in log for change in entry.changes]) == (6, changes)

    async def test_events_are_in_the_log_and_in_their_stream(self, replica: ReplicaStore) -> None:
        request = append_of("s", b"1", b"2", kind="replicated", tags=("red",), metadata={"k": 1}, event_id="id")
        appended = await replica.append_replicated(request, writing_of())
        log_id = replica.log_id
        assert log_id.startswith("berlin~")
        assert (replica.vector.to_dict(), (await replica.stream_version("s")).to_dict()) == ({log_id: 1}, {"berlin": 2})
        (entry,) = await whole_log(replica)
        (change,) = entry.changes
        assert (entry.kind, change.writer, change.counter, change.event_id) == ("events", "berlin", 1, "id")
        assert (change.tags, change.metadata, change.timestamp) == (("red",), {"k": 1}, TIMESTAMP)
        assert [item.payload for item in change.items] == [b"1", b"2"]
        assert await everything(replica) == appended.records
        assert replica.tail.position == appended.records[-1].position
        assert replica.log_tail.after(0) == [(1, entry)]

    async def test_what_is_refused_is_not_in_the_log(self, replica: ReplicaStore) -> None:
        await replica.append(append_of("plain"))
        first = append_of("s", kind="replicated")
        await replica.append_replicated(first, writing_of(token=b"one"))
        before = (replica.vector, replica.log_tail.position, await everything(replica))
        with pytest.raises(ReplicaIdInUseError):
            await replica.append_replicated(first, writing_of(token=b"two", has_written=True))
        with pytest.raises(StreamKindError):
            await replica.append_replicated(append_of("plain", kind="replicated"), writing_of())
        with pytest.raises(StreamKindError):
            await replica.append(append_of("s"))
        refused = append_of("s", kind="replicated", expected_version=7)
        with pytest.raises(ExpectedVersionError):
            await replica.append_replicated(refused, writing_of(token=b"two"))
        assert (replica.vector, replica.log_tail.position, await everything(replica)) == before
        assert len(await whole_log(replica)) == 1

    async def test_received_entries_are_kept_and_passed_on_as_they_came(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        await replica.append_operations([operations()])
        sent = [
            *entries_of("paris~1", 1),
            log_entry("rome~1", 1, "events", [events("s", 1, writer="rome", count=2), events("t", 1, writer="rome")]),
            *entries_of("paris~1", 2, 3),
        ]
        await replica.receive(sent)
        assert replica.vector == {"berlin~1": 1, "paris~1": 3, "rome~1": 1}
        assert (await whole_log(replica))[1:] == sent
        assert [entry for _, entry in replica.log_tail.after(1)] == sent
        records = await everything(replica)
        assert [(r.stream_id, r.sequence_number, r.payload) for r in records] == [
            ("s", 1, b"\xa6rome 1"),
            ("s", 2, b"\xa6rome 2"),
            ("t", 1, b"\xa6rome 1"),
        ]
        assert [(record.writer, record.version) for record in records] == [
            ("rome", {"rome": 1}),
            ("rome", {"rome": 2}),
            ("rome", {"rome": 1}),
        ]
        assert await everything(replica, Selection(stream_id="s")) == records[:2]
        assert replica.tail.after(0, Selection()) == records
        assert await replica.stream("s") == StreamSummary("s", "replicated", 2)

    async def test_what_is_held_is_passed_over(self, replica: ReplicaStore) -> None:
        sent = [*entries_of("paris~1", 1, 2), log_entry("paris~1", 3, "events", [events()])]
        await replica.receive(sent)
        await replica.receive(sent)
        await replica.receive([*sent, *entries_of("paris~1", 4, 4), sent[0]])
        await replica.receive([])
        assert [entry.number for entry in await whole_log(replica)] == [1, 2, 3, 4]
        assert len(await everything(replica)) == 1
        assert replica.log_tail.position == 4

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (entries_of("paris~1", 4), LogGapError),
            (entries_of("rome~1", 2), LogGapError),
            ([log_entry("paris~1", 2, "operations", [operations(99)])], ForkedLogError),
            ([log_entry("paris~1", 2, "events", [events()])], ForkedLogError),
            ([log_entry("rome~1", 1, "operations", [operations(n)]) for n in (1, 2)], ForkedLogError),
            ([LogEntry("rome~1", 1, "operations", 1, b"\x90")], MalformedEntryError),
            ([log_entry("rome~1", 0, "operations", [operations()])], MalformedEntryError),
            ([log_entry("", 1, "operations", [operations()])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events("")])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events("a\0")])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events(count=0)])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events(counter=0)])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events(), events("x" * 513)])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events(payload=b"")])], MalformedEntryError),
            ([log_entry("rome~1", 1, "events", [events(payload=b"\1\2")])], MalformedEntryError),
        ],
        ids=str,
    )
    async def test_what_is_wrong_is_refused_with_all_that_came_with_it(
        self, replica: ReplicaStore, bad: list[LogEntry], error: type[LogEntryError]
    ) -> None:
        await replica.receive(entries_of("paris~1", 1, 2))
        good = log_entry("vienna~1", 1, "events", [events("t", writer="vienna")])
        with pytest.raises(error) as raised:
            await replica.receive([good, *bad])
        assert (raised.value.log_id, raised.value.number) == (bad[-1].log_id, bad[-1].number)
        assert replica.vector == {"paris~1": 2}
        assert (len(await whole_log(replica)), replica.log_tail.position) == (2, 2)
        assert await everything(replica) == []
        await replica.receive([good, *entries_of("paris~1", 3)])
        assert replica.vector == {"paris~1": 3, "vienna~1": 1}

    async def test_a_gap_says_which_number_would_be_next(self, replica: ReplicaStore) -> None:
        await replica.receive(entries_of("paris~1", 1, 2))
        with pytest.raises(LogGapError, match="entry 9 of log 'paris~1' does not follow") as raised:
            await replica.receive(entries_of("paris~1", 9))
        assert raised.value.expected == 3

    async def test_a_log_is_read_from_any_vector_and_in_pages_of_any_size(self, replica: ReplicaStore) -> None:
        numbers = {"a~1": 0, "b~1": 0, "c~1": 0}
        sent: list[LogEntry] = []
        for log_id in ("a~1", "b~1", "a~1", "c~1", "c~1", "a~1", "b~1", "a~1"):
            numbers[log_id] += 1
            sent += entries_of(log_id, numbers[log_id])
        await replica.receive(sent)
        for have in ({}, {"a~1": 2}, {"a~1": 4, "b~1": 1}, {"c~1": 2, "b~1": 2}, numbers, {"other~1": 5, "a~1": 99}):
            lacked = [entry for entry in sent if entry.number > have.get(entry.log_id, 0)]
            for bytes_max in (1, 100, 1_000_000):
                assert await whole_log(replica, VersionVector(have), bytes_max) == lacked
        page = await replica.read_log(have=NOTHING, after=3, bytes_max=1_000_000)
        assert (page.entries, page.through, page.head, page.complete) == (sent[3:], 8, 8, True)
        page = await replica.read_log(have=VersionVector(numbers), after=0, bytes_max=1)
        assert (page.entries, page.complete) == ([], True)

    async def test_an_entry_larger_than_a_page_is_read_alone(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        for counter in (1, 2):
            await replica.append_operations([operations(counter, size=500_000)])
        page = await replica.read_log(have=NOTHING, after=0, bytes_max=1_000)
        assert ([entry.number for entry in page.entries], page.complete) == ([1], False)

    async def test_the_tail_goes_on_where_pages_end(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        seen: list[int] = []

        async def follow() -> None:
            after = 0
            while len(seen) < 60:
                page = await replica.read_log(have=NOTHING, after=after, bytes_max=300)
                seen.extend([entry.number for entry in page.entries])
                after = page.through
                if len(seen) < 60 and page.complete and replica.log_tail.covers(after):
                    await replica.log_tail.wait(after)
                    new = replica.log_tail.after(after)
                    seen.extend([entry.number for _, entry in new])
                    after = replica.log_tail.position

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(follow)
                for counter in range(1, 61):
                    await replica.append_operations([operations(counter)])
        assert seen == list(range(1, 61))

    async def test_what_is_in_the_tail_is_announced_before_the_caller_goes_on(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        for counter in range(1, 4):
            _, number = await replica.append_operations([operations(counter)])
            assert (replica.log_tail.position, replica.vector.to_dict()) == (counter, {"berlin~1": number})
        appended = await replica.append_replicated(append_of("s", kind="replicated"), writing_of())
        assert (replica.log_tail.position, replica.tail.position) == (4, appended.records[-1].position)
        await replica.receive(entries_of("paris~1", 1))
        assert (replica.log_tail.position, replica.vector.to_dict()) == (5, {"berlin~1": 4, "paris~1": 1})

    async def test_states_are_saved_with_the_checkpoint(self, replica: ReplicaStore) -> None:
        await replica.receive(entries_of("paris~1", 1, 2))
        states = [StoredState(key, "GCounter", key.encode()) for key in ("b", "a", "ab", "\U0001f600", "\ufeff", "B")]
        await replica.save_states(states, checkpoint=1)
        assert replica.checkpoint == 1
        await replica.save_states([StoredState("a", "ORSet", bytes(300_000))])
        assert replica.checkpoint == 1
        assert await replica.load_state("a") == StoredState("a", "ORSet", bytes(300_000))
        assert await replica.load_state("b") == states[0]
        assert await replica.load_state("nothing") is None
        found = await replica.states(limit=10, bodies=False)
        assert [(state.key, state.body) for state in found] == [(key, b"") for key in sorted(s.key for s in states)]
        assert [s.key for s in await replica.states(prefix="a", limit=10)] == ["a", "ab"]
        assert [s.key for s in await replica.states(prefix="a", after="a", limit=10)] == ["ab"]
        assert [s.key for s in await replica.states(after="a", limit=2)] == ["ab", "b"]
        assert [s.key for s in await replica.states(prefix="\U0001f600", limit=2)] == ["\U0001f600"]
        assert [s.type_name for s in await replica.states(prefix="a", limit=1)] == ["ORSet"]
        await replica.save_states([], checkpoint=2)
        assert replica.checkpoint == 2

    async def test_forgotten_operations_are_in_states_only(self, replica: ReplicaStore) -> None:
        await replica.receive(entries_of("paris~1", 1, 2))
        await replica.receive([log_entry("rome~1", 1, "events", [events()]), *entries_of("rome~1", 2, 3)])
        with pytest.raises(ValueError, match="cannot be forgotten"):
            await replica.forget_operations(through=1)
        await replica.save_states([], checkpoint=4)
        await replica.forget_operations(through=4)
        assert (replica.floor.to_dict(), replica.vector.to_dict()) == (
            {"paris~1": 2, "rome~1": 2},
            {"paris~1": 2, "rome~1": 3},
        )
        assert [(entry.log_id, entry.number) for entry in await whole_log(replica)] == [("rome~1", 1), ("rome~1", 3)]
        await replica.forget_operations(through=4)
        await replica.receive(entries_of("paris~1", 1, 2, 3))
        assert replica.vector == {"paris~1": 3, "rome~1": 3}
        assert replica.log_tail.position == 6

    async def test_positions_go_on_when_the_newest_entries_are_forgotten(self, replica: ReplicaStore) -> None:
        await replica.receive(entries_of("paris~1", 1, 2))
        await replica.save_states([], checkpoint=2)
        await replica.forget_operations(through=2)
        page = await replica.read_log(have=NOTHING, after=0, bytes_max=1)
        assert (page.entries, page.through, page.head) == ([], 2, 2)
        await replica.receive(entries_of("paris~1", 3))
        assert replica.log_tail.position == 3
        page = await replica.read_log(have=NOTHING, after=2, bytes_max=1)
        assert ([entry.number for entry in page.entries], page.head) == ([3], 3)

    async def test_a_snapshot_may_be_jumped_over(self, replica: ReplicaStore) -> None:
        await replica.receive(entries_of("paris~1", 1))
        snapshot = VersionVector({"paris~1": 5, "rome~1": 2})
        with pytest.raises(LogGapError):
            await replica.receive(entries_of("paris~1", 7), snapshot=snapshot)
        await replica.receive([log_entry("paris~1", 4, "events", [events()])], snapshot=snapshot)
        assert (replica.vector.to_dict(), replica.floor.to_dict()) == ({"paris~1": 4}, {"paris~1": 3})
        await replica.receive(entries_of("paris~1", 6), snapshot=snapshot)
        await replica.install_snapshot(snapshot)
        assert (replica.vector.to_dict(), replica.floor.to_dict()) == (
            {"paris~1": 6, "rome~1": 2},
            {"paris~1": 5, "rome~1": 2},
        )
        await replica.receive([*entries_of("paris~1", 7), *entries_of("rome~1", 1, 2, 3)])
        assert replica.vector == {"paris~1": 7, "rome~1": 3}
        assert [(e.log_id, e.number) for e in await whole_log(replica)] == [
            ("paris~1", 1),
            ("paris~1", 4),
            ("paris~1", 6),
            ("paris~1", 7),
            ("rome~1", 3),
        ]

    async def test_facts_are_remembered_until_they_are_forgotten(self, replica: ReplicaStore) -> None:
        await replica.remember("members", b"1")
        await replica.remember("fence", b"")
        await replica.remember("members", b"2")
        assert await replica.remembered() == {"members": b"2", "fence": b""}
        await replica.remember("fence", None)
        await replica.remember("nothing", None)
        assert await replica.remembered() == {"members": b"2"}

    async def test_a_stream_of_each_kind_may_have_one_id(self, replica: ReplicaStore) -> None:
        plain = await replica.append(append_of("s", b"plain"))
        await replica.receive([log_entry("paris~1", 1, "events", [events("s", count=2)])])
        replicated = (await replica.read_stream("s", after=0, limit=10, kind="replicated")).records
        assert [record.sequence_number for record in replicated] == [1, 2]
        assert (await replica.read_stream("s", after=0, limit=10, kind="plain")).records == plain
        assert (await replica.read_stream("s", after=0, limit=10)).records == plain
        assert await everything(replica) == plain + replicated
        assert await everything(replica, Selection(kind="replicated")) == replicated
        await replica.append(append_of("a"))
        summaries = await replica.streams(prefix="", after="a", limit=1)
        assert summaries == [StreamSummary("s", "plain", 1), StreamSummary("s", "replicated", 2)]
        assert [await replica.stream("s", kind=kind) for kind in ("plain", "replicated")] == summaries
        assert await replica.stream("a", kind="replicated") is None

    async def test_a_cancelled_append_of_operations_is_there_as_a_whole_or_not_at_all(
        self, replica: ReplicaStore
    ) -> None:
        await replica.use_log("berlin~1")
        for turns in range(10):
            async with anyio.create_task_group() as group:
                group.start_soon(replica.append_operations, [operations(2 * turns), operations(2 * turns + 1)])
                for _ in range(turns):
                    await checkpoint()
                group.cancel_scope.cancel()
        await replica.append_operations([operations(100)])
        log = await whole_log(replica)
        assert [entry.number for entry in log] == list(range(1, replica.vector["berlin~1"] + 1))
        counters = [change.counter for entry in log for change in entry.changes]
        assert counters[-1] == 100
        assert all((counter ^ 1) in counters for counter in counters[:-1])

    async def test_a_closed_replica_refuses_everything(self, replica: ReplicaStore) -> None:
        await replica.use_log("berlin~1")
        await replica.aclose()
        with pytest.raises(JournalClosedError):
            await replica.append_operations([operations()])
        with pytest.raises(JournalClosedError):
            await replica.receive(entries_of("paris~1", 1))
        with pytest.raises(JournalClosedError):
            await replica.read_log(have=NOTHING, after=0, bytes_max=1)
        with pytest.raises(JournalClosedError):
            await replica.log_tail.wait(0)


class DurableReplicaContract:
    """Opening again, and several open stores of one journal."""

    async def open_store(self, folder: Path) -> ReplicaStore:
        """Open a store; see `ReplicaStoreContract`."""
        raise NotImplementedError

    async def test_the_log_is_there_after_opening_again(self, tmp_path: Path, anyio_backend: object) -> None:
        store = await self.open_store(tmp_path)
        await store.use_log("berlin~1")
        await store.append_operations([operations()])
        await store.append_replicated(append_of("s", b"1", kind="replicated", event_id="id"), writing_of())
        await store.receive([*entries_of("paris~1", 1, 2), log_entry("rome~1", 1, "events", [events()])])
        await store.save_states([StoredState("k", "GCounter", b"state")], checkpoint=3)
        await store.forget_operations(through=1)
        await store.remember("members", b"1")
        before = await _held(store)
        await store.aclose()
        store = await self.open_store(tmp_path)
        try:
            assert await _held(store) == before
            assert store.log_tail.covers(store.log_tail.position)
            again = append_of("s", b"other", kind="replicated", event_id="id")
            assert [r.payload for r in (await store.append_replicated(again, writing_of())).records] == [b"1"]
            new = await store.append_replicated(append_of("s", b"2", kind="replicated"), writing_of())
            assert (new.records[0].version, len(new.concurrent)) == ({"berlin": 2}, 1)
            assert store.vector["berlin~1"] == 3
        finally:
            await store.aclose()

    async def test_two_stores_of_one_journal_number_one_log(self, tmp_path: Path, anyio_backend: object) -> None:
        first, second = await self.open_store(tmp_path), await self.open_store(tmp_path)
        try:
            await first.use_log("berlin~1")
            for counter in range(1, 6):
                _, here = await first.append_operations([operations(counter)])
                _, there = await second.append_operations([operations(100 + counter)])
                assert (here, there) == (3 * counter - 2, 3 * counter - 1)
                await second.append_replicated(append_of("s", kind="replicated"), writing_of())
                await second.receive(entries_of("paris~1", counter))
            await first.append_operations([operations(200)])
            assert first.vector == {"berlin~1": 16, "paris~1": 5}
            log = await whole_log(first)
            assert [entry.number for entry in log if entry.log_id == "berlin~1"] == list(range(1, 17))
            assert [entry for _, entry in first.log_tail.after(0)] == log
            assert await whole_log(second) == log
            assert second.log_id == "berlin~1"
        finally:
            await first.aclose()
            await second.aclose()

    async def test_the_tail_sees_what_another_store_of_the_journal_writes(
        self, tmp_path: Path, anyio_backend: object
    ) -> None:
        first, second = await self.open_store(tmp_path), await self.open_store(tmp_path)
        try:
            await first.use_log("berlin~1")
            with anyio.fail_after(20):
                for number in range(1, 6):
                    await first.append_operations([operations(number)])
                    await second.log_tail.wait(number - 1)
                    assert second.log_tail.position == number
                    assert second.vector == {"berlin~1": number}
                await first.receive(entries_of("paris~1", 1))
                await second.log_tail.wait(5)
            assert second.vector == {"berlin~1": 5, "paris~1": 1}
            assert [entry for _, entry in second.log_tail.after(0)] == await whole_log(first)
        finally:
            await first.aclose()
            await second.aclose()


async def _held(store: ReplicaStore) -> Sequence[object]:
    return (
        (store.log_id, store.vector, store.floor, store.checkpoint, store.log_tail.position),
        await whole_log(store),
        await everything(store),
        await store.states(limit=10),
        await store.remembered(),
        await store.stream_version("s"),
    )
