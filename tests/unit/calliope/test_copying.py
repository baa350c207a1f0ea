from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import apsw
import msgspec
import pytest

from calliope import (
    CorruptRecordError,
    Journal,
    RecordedEvent,
    UntypedEvent,
    caused_by,
    event,
    with_metadata,
)
from calliope.copying import CopyDiffersError, CopyError, CopyProgress, CopyRefusedError, CopySummary, copy_journal
from calliope.copying.place import NOTE_ID
from calliope.testing.everything import everything
from calliope.testing.requests import append_of

pytestmark = pytest.mark.anyio

OTHER = UntypedEvent("Other", None)


@event("copied-happening", version=3)
@dataclass(frozen=True)
class Happened:
    number: int


@asynccontextmanager
async def pair(source: str | Path, target: str | Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """Open a source and a target; what a crash would cost is tested elsewhere."""
    async with (
        Journal.open(source, durability="relaxed") as one,
        Journal.open(target, durability="relaxed") as other,
    ):
        yield one, other


async def told(journal: Journal) -> list[RecordedEvent[UntypedEvent]]:
    return await journal.records(event_type=UntypedEvent).run_collect()


def said(records: Sequence[RecordedEvent[UntypedEvent]]) -> list[tuple[object, ...]]:
    """All that events say of themselves, in their order."""
    return [
        (r.stream_id, r.sequence_number, r.id, r.type, r.schema_version, r.timestamp, r.tags, dict(r.metadata), r.data)
        for r in records
    ]


async def fill(journal: Journal, rounds: int = 3, *, first: int = 0) -> None:
    """Persist events of every kind there is, eight a round."""
    for n in range(first, first + rounds):
        orders = journal.event_stream(f"order-{n % 2}", Happened)
        await orders.persist(Happened(n))
        await orders.persist([Happened(n), Happened(-n)], event_id=f"command-{n}", tags={"red", "äpfel"})
        with with_metadata(correlation_id=f"c-{n}"):
            reply = await journal.event_stream("ledger", UntypedEvent).persist(UntypedEvent("Entered", {"sum": n}))
        with caused_by(reply.records[0]):
            await orders.persist([Happened(n), Happened(n + 1), Happened(n + 2)])
        await orders.persist(Happened(9), event_id=f"single-{n}")
    await journal.snapshots.save_snapshot("order-0", {"sum": 7}, sequence_number=2)
    await journal.snapshots.save_snapshot("order-0", {"sum": 9}, sequence_number=5)
    await journal.snapshots.save_snapshot("a projection", 4, sequence_number=4)


async def test_a_copy_says_what_its_source_says(tmp_path: Path) -> None:
    async with pair("memory://", tmp_path / "copy.db") as (source, target):
        await fill(source)
        summary = await copy_journal(source, target)
        assert said(await told(target)) == said(await told(source))
        assert [r.position for r in await told(target)] == [r.position for r in await told(source)]
        assert (summary.added, summary.known, summary.events) == (24, 0, 24)
        assert (summary.snapshots, summary.snapshots_left_out, summary.same_positions) == (3, 0, True)
        snapshot = await target.snapshots.load_snapshot("order-0", dict[str, int])
        assert snapshot is not None
        assert (snapshot.state, snapshot.sequence_number) == ({"sum": 9}, 5)
        assert len(await target.snapshots.list_snapshots("order-0")) == 2
        assert await target.snapshots.load_snapshot("a projection", int) is not None


async def test_an_event_id_names_in_the_copy_what_it_names_in_the_source(tmp_path: Path) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        await fill(source)
        # Of one moment, and beside one another: only the source knows where a request ends.
        for payload in (b"\x01", b"\x02"):
            await source.store.append(append_of("a", payload, b"\x03", event_id=f"id-{payload!r}"))
            await source.store.append(append_of("a", payload))
        await copy_journal(source, target)
        before = await told(target)
        for stream_id, event_id, count in (
            ("order-0", "command-0", 2), ("order-1", "single-1", 1), ("a", "id-b'\\x01'", 2), ("a", "id-b'\\x02'", 2),
        ):  # fmt: skip
            first, again = [
                await journal.event_stream(stream_id, UntypedEvent).persist(OTHER, event_id=event_id)
                for journal in (source, target)
            ]
            assert len(first.records) == count
            assert said(again.records) == said(first.records)
        assert await told(target) == before


async def test_a_copy_of_a_copy_says_what_the_first_source_says(tmp_path: Path) -> None:
    async with pair("memory://", tmp_path / "copy.db") as (source, target), Journal.open("memory://") as third:
        await fill(source)
        first = await copy_journal(source, target)
        second = await copy_journal(target, third)
        assert said(await told(third)) == said(await told(source))
        assert first.checksum == second.checksum
        reply = await third.event_stream("order-0", UntypedEvent).persist(OTHER, event_id="command-2")
        assert [record.data.data for record in reply.records] == [{"number": 2}, {"number": -2}]


async def test_copying_again_adds_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        assert (await copy_journal(source, target)).events == 0
        await fill(source)
        first = await copy_journal(source, target)
        again = await copy_journal(source, target)
        assert (again.added, again.known, again.snapshots, again.checksum) == (0, 24, 0, first.checksum)
        await fill(source, rounds=1, first=3)
        await source.snapshots.save_snapshot("order-0", {"sum": 11}, sequence_number=6)
        later = await copy_journal(source, target)
        assert (later.added, later.known) == (8, 24)
        assert later.checksum != first.checksum
        assert said(await told(target)) == said(await told(source))
        snapshot = await target.snapshots.load_snapshot("order-0", dict[str, int])
        assert snapshot is not None
        assert snapshot.state == {"sum": 11}


async def test_a_beginning_without_a_note_is_recognised_by_what_it_holds(tmp_path: Path) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        await fill(source)
        await copy_journal(source, target)
        await fill(source, first=3)
        for damage in ("DELETE FROM snapshot", "UPDATE snapshot SET payload = x'01'"):
            with apsw.Connection(str(tmp_path / "copy.db")) as connection:
                connection.execute(f"{damage} WHERE snapshot_id = ?", (NOTE_ID,))
            assert (await copy_journal(source, target)).events == 48
        assert said(await told(target)) == said(await told(source))


async def test_a_target_that_holds_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for number, (ours, theirs, expected) in enumerate(
        (
            ([append_of("a")], [append_of("b")], "no beginning of the source: at position 1 it holds event 1 of"),
            ([append_of("a")], [append_of("a", b"\x01")], "or with other content"),
            ([append_of("a")], [append_of("a", timestamp=1)], "or with other content"),
            ([append_of("a")], [append_of("a", tags=("red",))], "or with other content"),
            ([], [append_of("a")], "which the source does not hold"),
        )
    ):
        async with pair("memory://", tmp_path / f"{number}.db") as (source, target):
            for request in ours:
                await source.store.append(request)
            for request in theirs:
                await target.store.append(request)
            before = await everything(target.store)
            with pytest.raises(CopyRefusedError, match=expected):
                await copy_journal(source, target)
            assert await everything(target.store) == before
            assert await target.store.snapshot_ids(after="", limit=9) == []


async def test_a_target_that_was_used_is_refused_with_or_without_its_note(tmp_path: Path) -> None:
    async with pair("memory://", tmp_path / "copy.db") as (source, target):
        await fill(source)
        await copy_journal(source, target)
        await target.event_stream("order-0", Happened).persist(Happened(1))
        await fill(source, rounds=1, first=3)
        with pytest.raises(CopyRefusedError, match="at position 25 it holds event"):
            await copy_journal(source, target)
        await target.snapshots.delete_snapshots(NOTE_ID)
        with pytest.raises(CopyRefusedError, match="at position 25 it holds event"):
            await copy_journal(source, target)


async def test_snapshots_in_an_empty_target_are_somebody_elses(tmp_path: Path) -> None:
    async with pair("memory://", tmp_path / "copy.db") as (source, target):
        await fill(source)
        await target.snapshots.save_snapshot("order-0", 1, sequence_number=1)
        with pytest.raises(CopyRefusedError, match="holds snapshots but no events"):
            await copy_journal(source, target)


async def test_a_journal_is_not_copied_into_itself(tmp_path: Path) -> None:
    async with pair(tmp_path / "a.db", tmp_path / "a.db") as (source, target):
        with pytest.raises(CopyRefusedError, match="are the same journal"):
            await copy_journal(source, target)


async def test_a_target_restored_from_a_backup_is_read_and_brought_up_to_date() -> None:
    async with pair("memory://", "memory://") as (source, target), Journal.open("memory://") as restored:
        await fill(source, rounds=1)
        await copy_journal(source, restored)
        await fill(source, first=1)
        await copy_journal(source, target)
        newer = await target.store.load_snapshot(NOTE_ID, through=0)
        assert newer is not None
        await restored.store.save_snapshot(newer)  # it knows of more than this journal holds
        summary = await copy_journal(source, restored)
        assert (summary.known, summary.added) == (8, 24)
        assert said(await told(restored)) == said(await told(source))


async def test_replicated_streams_are_refused_and_plain_ones_copied_if_they_alone_are_asked_for(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        await source.replicated_event_stream("cart", Happened, replica_id="berlin").persist(Happened(1))
        await fill(source)
        await source.snapshots.save_snapshot("cart", 1, sequence_number=1)
        with pytest.raises(CopyRefusedError, match=r"the source is a replica's journal: .* travel by replication"):
            await copy_journal(source, target)
        assert await told(target) == []
        summary = await copy_journal(source, target, plain_only=True)
        assert said(await told(target)) == [fact for fact in said(await told(source)) if fact[0] != "cart"]
        assert (summary.added, summary.same_positions) == (24, False)
        assert (summary.snapshots, summary.snapshots_left_out) == (2, 2)
        with pytest.raises(CopyRefusedError, match="the source is"):
            await copy_journal(source, target)
        assert (await copy_journal(source, target, plain_only=True)).added == 0


async def test_plain_streams_are_copied_into_the_journal_of_another_replica(tmp_path: Path) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        carts = target.replicated_event_stream("cart", Happened, replica_id="paris")
        await carts.persist(Happened(1))
        await fill(source)
        with pytest.raises(CopyRefusedError, match="the target is a replica's journal"):
            await copy_journal(source, target)
        await copy_journal(source, target, plain_only=True)
        await carts.persist(Happened(2))
        await fill(source, rounds=1, first=3)
        assert (await copy_journal(source, target, plain_only=True)).known == 24
        assert said([r for r in await told(target) if r.stream_id != "cart"]) == said(await told(source))
        assert [e.number for e in await carts.query().run_collect()] == [1, 2]


async def test_a_source_in_use_is_copied_with_all_that_its_snapshots_have_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calliope.copying.walking.PAGE_RECORDS", 7)
    async with pair("memory://", tmp_path / "copy.db") as (source, target):
        await fill(source)
        stream = source.event_stream("busy", Happened)
        telling, told_of = anyio.create_memory_object_stream[CopyProgress](1_000)

        async def use() -> None:
            async with told_of:
                async for _ in told_of:
                    reply = await stream.persist([Happened(1), Happened(2)])
                    number = reply.sequence_number
                    await source.snapshots.save_snapshot("busy", number, sequence_number=number, keep=2)

        async with anyio.create_task_group() as group, telling:
            group.start_soon(use)
            for _ in range(3):
                summary = await copy_journal(source, target, on_progress=telling.send_nowait)
                snapshot = await target.snapshots.load_snapshot("busy", int)
                assert snapshot is None or snapshot.state <= await target.event_stream("busy", Happened).version()
        assert summary.through < source.store.tail.position
        assert (await copy_journal(source, target)).events == source.store.tail.position
        assert said(await told(target)) == said(await told(source))


async def test_a_copy_with_many_pages_goes_on_after_any_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calliope.copying.walking.PAGE_RECORDS", 7)
    async with pair("memory://", tmp_path / "copy.db") as (source, target):
        await fill(source, rounds=10)
        left = 0

        def fail_at_times(progress: CopyProgress) -> None:
            nonlocal left
            left += 1
            if left % 3 == 0:
                raise KeyError("interrupted")

        summary: CopySummary | None = None
        runs, known = 0, [0]
        while summary is None:
            runs += 1
            try:
                summary = await copy_journal(source, target, on_progress=fail_at_times if runs < 30 else print)
            except KeyError:
                known.append(len(await everything(target.store)))
        assert runs > 5
        assert known == sorted(known)
        assert summary.events == 80
        assert said(await told(target)) == said(await told(source))


async def test_a_second_writer_in_the_target_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calliope.copying.walking.PAGE_RECORDS", 7)
    async with pair("memory://", "memory://") as (source, target):
        await fill(source, rounds=10)
        others = [append_of("order-0"), append_of("order-1")]

        def write(progress: CopyProgress) -> None:
            if progress.stage == "events" and others:
                # What another process would do at this moment; nothing is awaited, as if it were one.
                request = others.pop()
                target.store._keep(request.stream_id, "plain", request.events, 1, None)  # type: ignore[attr-defined]

        with pytest.raises(CopyError, match=r"stream 'order-1' of the target is at version \d+, .*somebody else"):
            await copy_journal(source, target, on_progress=write)
        with pytest.raises(CopyRefusedError):
            await copy_journal(source, target)


async def test_differences_are_named() -> None:
    for damage, expected in (
        ("payload", r"event 2 of stream 'order-0' has another payload"),
        ("timestamp", r"event 2 of stream 'order-0' has another time"),
        ("tags", r"event 2 of stream 'order-0' has another tags"),
    ):
        async with pair("memory://", "memory://") as (source, target):
            await fill(source)

            def alter(progress: CopyProgress, journal: Journal = target, damage: str = damage) -> None:
                if progress.stage == "snapshots":
                    records = journal.store._records  # type: ignore[attr-defined]
                    old = records[1]
                    new = {
                        "payload": {"payload": b"\x01"},
                        "timestamp": {"timestamp": 5},
                        "tags": {"attributes": msgspec.structs.replace(old.attributes, tags=("blue",))},
                    }[damage]
                    records[1] = msgspec.structs.replace(old, **new)

            with pytest.raises(CopyDiffersError, match=expected) as found:
                await copy_journal(source, target, on_progress=alter)
            assert len(found.value.differences) == 1


async def test_a_damaged_source_is_copied_up_to_the_damage_and_reported(tmp_path: Path) -> None:
    async with Journal.open(tmp_path / "source.db") as source:
        for n in range(5):
            await source.event_stream("a", Happened).persist(Happened(n))
    with apsw.Connection(str(tmp_path / "source.db")) as connection:
        connection.execute("UPDATE event SET payload = x'81' WHERE position = 4")
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        with pytest.raises(CorruptRecordError, match="position 4"):
            await copy_journal(source, target)
        assert len(await told(target)) == 3


async def test_large_requests_and_events_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calliope.copying.walking.PAGE_RECORDS", 100)
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        many = [UntypedEvent("Happened", n) for n in range(310)]
        large = [UntypedEvent("Happened", "x" * 700_000)] * 7
        a, b = source.event_stream("a", UntypedEvent), source.event_stream("b", UntypedEvent)
        await a.persist(many, event_id="many")
        await b.persist(large)
        await a.persist(large, event_id="large")
        summary = await copy_journal(source, target)
        assert summary.events == 324
        again = await target.event_stream("a", UntypedEvent).persist(many[0], event_id="many")
        assert len(again.records) == 310


async def test_the_source_is_never_written_to(tmp_path: Path) -> None:
    async with pair(tmp_path / "source.db", tmp_path / "copy.db") as (source, target):
        await fill(source)
        before = await everything(source.store)
        await copy_journal(source, target)
        assert await everything(source.store) == before
        assert await source.store.snapshot_ids(after="", limit=9) == ["a projection", "order-0"]
