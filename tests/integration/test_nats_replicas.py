"""Replicas whose journals are on NATS: a node and other processes over one journal, and never two nodes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from calliope import Journal, JournalBusyError, ReplicaIdInUseError, StorageError, StorageFullError
from calliope.stores import nats_commit, nats_lease, nats_notes, nats_replica
from calliope.stores.nats import NatsStore
from calliope.stores.nats_commit import Commit
from calliope.stores.nats_commits import NatsCommits, StoredCommit
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_errors import NoAnswerError
from calliope.stores.nats_notes import NatsNotes
from calliope.stores.nats_reader import NatsReader
from calliope.stores.nats_redo import Redo
from calliope.stores.protocol import Page, StreamKind
from calliope.stores.replica_backed import LogRequest
from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import log_entry
from calliope.testing.everything import everything
from calliope.testing.replica_contract import entries_of, events, operations, whole_log
from calliope.testing.requests import append_of, writing_of
from crdts import GCounter
from replication import Node
from tests.integration.replicas_on_servers import (
    PATIENCE_SECONDS,
    Written,
    check_replicas_of_two_urls_and_a_file,
    check_several_open_journals,
    names,
)
from tests.nats import OwnServer, new_journal, own_server, url_of_journal

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def url(running: OwnServer) -> str:
    return url_of_journal(running.url, new_journal())


def store_of(holder: Journal | Node) -> NatsStore:
    store = holder.store if isinstance(holder, Journal) else holder.journal.store
    assert isinstance(store, NatsStore)
    return store


async def test_replicas_on_two_journals_and_in_a_file_end_with_the_same(url: str, tmp_path: Path) -> None:
    await check_replicas_of_two_urls_and_a_file(url, tmp_path)


async def test_what_several_open_journals_write_is_numbered_once_and_reaches_the_other_replica(
    url: str, tmp_path: Path
) -> None:
    await check_several_open_journals(url, tmp_path)


async def test_two_processes_that_write_under_one_replica_id_are_told(url: str) -> None:
    async with Journal.open(url) as one, Journal.open(url) as two:
        streams = [each.replicated_event_stream("s", Written, replica_id="berlin") for each in (one, two)]
        await streams[0].persist(Written("first"))
        await streams[1].persist(Written("second"))
        with pytest.raises(ReplicaIdInUseError):
            await streams[0].persist(Written("third"))
        assert await names(one) == ["first", "second"]


async def test_where_one_node_runs_a_second_is_refused_until_it_is_gone(url: str) -> None:
    async with Node.open(url, replica_id="berlin") as node:
        with pytest.raises(JournalBusyError, match="another node runs on nats://"):
            async with Node.open(url, replica_id="berlin"):
                raise AssertionError("two nodes run on one journal")
        await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
    async with Node.open(url, replica_id="berlin") as node:
        assert (await node.replicator.get("visits", GCounter)).value == 1


async def test_who_said_nothing_for_long_is_replaced_and_writes_nothing_more_as_a_node(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_lease, "LOST_SECONDS", 0.2)
    one, two = await NatsStore.open(url), await NatsStore.open(url)
    async with one.held() as watch:
        await one.use_log("berlin~1")
        await one.append_operations([operations()])
        async with two.held():
            for write in (
                one.save_states([], checkpoint=1),
                one.append_operations([operations()]),
                one.receive(entries_of("rome~1", 1)),
            ):
                with pytest.raises(JournalBusyError, match="nothing was written"):
                    await write
            await one.append_replicated(append_of("s", kind="replicated"), writing_of())
            await two.append_operations([operations(2)])
            monkeypatch.setattr(nats_replica, "RENEW_SECONDS", 0.01)
            with anyio.fail_after(PATIENCE_SECONDS):
                with pytest.raises(JournalBusyError, match=r"another node has taken .* while this one was cut off"):
                    await watch()
    assert [entry.number for entry in await whole_log(two)] == [1, 2, 3]
    assert two.checkpoint == 0
    await one.aclose()
    await two.aclose()


class TestCommits:
    """What is done at once is there as a whole, whoever ends in the middle of it."""

    @pytest.mark.parametrize("undone", ["_add", "_note"])
    async def test_who_comes_next_carries_out_what_was_left_undone(
        self, url: str, monkeypatch: pytest.MonkeyPatch, undone: str
    ) -> None:
        one = await NatsStore.open(url)
        await one.append_replicated(append_of("s", b"0", kind="replicated"), writing_of())

        async def end(*_: object, **__: object) -> None:
            raise NoAnswerError("the process ends here", was_sent=True)

        request = append_of("s", b"1", b"2", kind="replicated", event_id="id")
        with monkeypatch.context() as ending:
            ending.setattr(Redo, undone, end)
            with pytest.raises(StorageError, match="is in the replica's log, but not in its streams yet"):
                await one.append_replicated(request, writing_of(has_written=True))
            with pytest.raises(StorageError, match="the process ends here"):
                await one.receive([log_entry("rome~1", 1, "events", [events("t", writer="rome")])])
        two = await NatsStore.open(url)
        for store in (two, one):
            assert [record.payload for record in await everything(store)] == [b"0", b"1", b"2"]
            assert (await store.stream_version("s")).to_dict() == {"berlin": 3}
            assert [entry.number for entry in await whole_log(store)] == [1, 2]
        again = await one.append_replicated(request, writing_of(has_written=True))
        assert ([record.sequence_number for record in again.records], again.written) == ([2, 3], False)
        assert again.records == (await everything(two))[1:]
        await one.aclose()
        await two.aclose()

    async def test_what_was_stored_although_nobody_said_so_is_not_stored_again(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, publish = await NatsStore.open(url), NatsCommits.publish

        async def publish_unheard(
            self: NatsCommits, commit: Commit, after: StoredCommit, pauses: Pauses
        ) -> StoredCommit | None:
            await publish(self, commit, after, pauses)
            return await publish(self, commit, after, pauses)

        monkeypatch.setattr(NatsCommits, "publish", publish_unheard)
        await store.use_log("berlin~1")
        assert await store.append_operations([operations(1)]) == ("berlin~1", 1)
        appended = await store.append_replicated(append_of("s", kind="replicated"), writing_of())
        assert await store.append_operations([operations(2)]) == ("berlin~1", 3)
        assert [entry.number for entry in await whole_log(store)] == [1, 2, 3]
        assert await everything(store) == appended.records
        await store.aclose()

    async def test_who_was_overtaken_decides_anew(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        one, two, publish = await NatsStore.open(url), await NatsStore.open(url), NatsCommits.publish
        await one.use_log("berlin~1")
        overtaking: list[LogRequest | None] = []

        async def publish_late(
            self: NatsCommits, commit: Commit, after: StoredCommit, pauses: Pauses
        ) -> StoredCommit | None:
            if not overtaking:
                overtaking.append(None)
                faster = Commit(
                    commit.number,
                    nats_commit.new_name(),
                    nats_commit.fields_of(after.commit.state.adding(entries_of("berlin~1", 1))),
                    "",
                    entries_of("berlin~1", 1),
                    {},
                    [],
                    [],
                    {},
                )
                assert await publish(self, faster, after, pauses) is not None
            return await publish(self, commit, after, pauses)

        monkeypatch.setattr(NatsCommits, "publish", publish_late)
        assert await two.append_operations([operations(2)]) == ("berlin~1", 2)
        for store in (one, two):
            assert [change.counter for entry in await whole_log(store) for change in entry.changes] == [1, 2]
            await store.aclose()

    async def test_who_was_overtaken_does_not_read_again_what_he_had_not_observed(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If each attempt read more than the one before, the faster writers would always be faster."""
        one, two = await NatsStore.open(url), await NatsStore.open(url)
        publish, stream_page, here = NatsCommits.publish, NatsReader.stream_page, asyncio.get_running_loop()
        written, overtaken, read = 0, 0, list[int]()

        async def write() -> None:
            nonlocal written
            await two.append_replicated(append_of("s", kind="replicated"), writing_of("rome", has_written=written > 0))
            written += 1

        async def publish_late(
            self: NatsCommits, commit: Commit, after: StoredCommit, pauses: Pauses
        ) -> StoredCommit | None:
            nonlocal overtaken
            if self is one._log_writer._commits and overtaken < 3:
                overtaken += 1
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(write(), here))
            return await publish(self, commit, after, pauses)

        async def stream_page_noted(
            self: NatsReader, stream_id: str, after: int, limit: int, kind: StreamKind | None = None
        ) -> Page:
            page = await stream_page(self, stream_id, after, limit, kind)
            if self is one._reader:
                read.extend(record.sequence_number for record in page.records)
            return page

        for _ in range(90):
            await write()
        monkeypatch.setattr(NatsCommits, "publish", publish_late)
        monkeypatch.setattr(NatsReader, "stream_page", stream_page_noted)
        appended = await one.append_replicated(append_of("s", kind="replicated"), writing_of("berlin"))
        assert [record.sequence_number for record in appended.records] == [94]
        assert [record.sequence_number for record in appended.concurrent] == list(range(1, 94))
        assert sorted(read) == list(range(1, 94))
        await one.aclose()
        await two.aclose()

    async def test_what_is_larger_than_a_message_is_stored_as_a_whole(self, url: str) -> None:
        store = await NatsStore.open(url)
        large = [
            events("a", 1, writer="rome", payload=bytes([0xC5, 0xFF, 0xFF]) + bytes(0xFFFF), count=12),
            *[events(f"s{number}", 1, writer="rome") for number in range(300)],
        ]
        sent = [
            log_entry("rome~1", 1, "events", large),
            *[log_entry("rome~1", 2 + n, "operations", [operations(n + 1, size=500_000)]) for n in range(4)],
            log_entry("rome~1", 6, "events", [events("a", 13, writer="rome"), events("b", 1, writer="rome")]),
        ]
        await store.receive(sent)
        assert await whole_log(store) == sent
        assert [entry for _, entry in store.log_tail.after(0)] == sent
        records = await everything(store)
        assert len(records) == 314
        assert [record.sequence_number for record in records if record.stream_id == "a"] == list(range(1, 14))
        await store.aclose()
        store = await NatsStore.open(url)
        assert (await whole_log(store, bytes_max=1), store.vector) == (sent, {"rome~1": 6})
        await store.receive(sent)
        assert store.log_tail.position == 6
        await store.aclose()

    async def test_events_that_were_received_stand_in_the_order_of_the_log(self, url: str) -> None:
        """Later ones may follow from earlier ones, also in other streams."""
        store = await NatsStore.open(url)
        in_turn = [events("ab"[number % 2], 1 + number // 2, writer="rome") for number in range(10)]
        await store.receive([log_entry("rome~1", 1, "events", in_turn)])
        records = await everything(store)
        assert [(record.stream_id, record.sequence_number) for record in records] == [
            ("ab"[number % 2], 1 + number // 2) for number in range(10)
        ]
        await store.aclose()


class TestNotes:
    async def test_a_large_state_is_in_parts_and_replaces_an_earlier_one(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nats_notes, "PART_BYTES", 1_000)
        store = await NatsStore.open(url)
        for size in (4_500, 2_500, 10, 7_000):
            state = StoredState("k", "GCounter", bytes([size % 251]) * size)
            await store.save_states([state])
            assert await store.load_state("k") == state
            assert await store.states(limit=5) == [state]
        await store.aclose()

    async def test_a_note_of_an_earlier_commit_does_not_replace_a_later_one(self, url: str) -> None:
        """As somebody writes it who was stopped in the middle, and goes on when others have long written on."""
        store = await NatsStore.open(url)

        async def put(commit: int, body: bytes) -> None:
            notes = NatsNotes(*store_parts(store))
            await notes.put_state(commit, StoredState("k", "GCounter", body))

        for commit, body in ((2, b"later"), (1, b"earlier")):
            await store._run(lambda commit=commit, body=body: put(commit, body))
        assert await store.load_state("k") == StoredState("k", "GCounter", b"later")
        await store.aclose()


def store_parts(store: NatsStore) -> tuple[object, ...]:
    notes = store._log_reader._notes
    return notes._publisher, notes._notes, notes._subjects


async def test_what_is_forgotten_is_removed_from_the_server(url: str) -> None:
    store = await NatsStore.open(url)
    await store.use_log("berlin~1")
    for number in range(20):
        await store.append_operations([operations(number + 1)])
    await store.append_replicated(append_of("s", kind="replicated"), writing_of())
    await store.append_operations([operations(21)])
    await store.save_states([], checkpoint=22)
    await store.forget_operations(through=22)
    commits = await store._run(lambda: store._log_reader._commits.following(0))
    assert [commit.commit.placed_entries for commit in commits if commit.commit.entries] == [
        commit.commit.placed_entries for commit in commits if commit.commit.has_events
    ]
    assert [entry.kind for entry in await whole_log(store)] == ["events"]
    other = await NatsStore.open(url)
    assert (other.vector, other.floor, await whole_log(other)) == (store.vector, store.floor, await whole_log(store))
    await other.append_operations([operations(22)])
    assert [entry.number for entry in await whole_log(store)] == [21, 23]
    await other.aclose()
    await store.aclose()


async def test_where_there_is_no_room_left_what_is_there_is_read_and_nothing_is_half_written() -> None:
    with own_server(jetstream="max_file_store: 1MB") as server:
        url = url_of_journal(server.url, new_journal())
        store = await NatsStore.open(url)
        written: list[str] = []
        has_written = False
        refused: list[Exception] = []
        while len(refused) < 5:
            event_id = f"id {len(written)}"
            request = append_of("s", bytes([0xC5, 0x4E, 0x20]) + bytes(20_000), kind="replicated", event_id=event_id)
            try:
                await store.append_replicated(request, writing_of(has_written=has_written))
            except (StorageError, StorageFullError) as error:
                refused.append(error)
            else:
                written.append(event_id)
                has_written = True
        assert len(written) > 5
        assert isinstance(refused[-1], StorageFullError)
        await store.aclose()
        store = await NatsStore.open(url)
        entries = await whole_log(store)
        assert [change.event_id for entry in entries for change in entry.changes][: len(written)] == written
        records = await everything(store)
        assert [record.attributes.event_id for record in records][: len(written)] == written
        assert len(entries) <= len(records) <= len(written) + 1
        with pytest.raises(StorageFullError, match="nothing was written"):
            await store.append_replicated(append_of("s", bytes(20_000), kind="replicated"), writing_of())
        await store.aclose()
