"""Copying, then reading, is reading: whatever the journal holds, however often the copy was cut off."""

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calliope import Journal
from calliope.copying import CopyProgress, copy_journal, walking
from calliope.copying.content import content_of
from calliope.limits import POSITION_MAX
from calliope.stores.protocol import StoredSnapshot
from calliope.stores.record import StoredType
from calliope.testing.everything import everything
from calliope.testing.requests import TIMESTAMP, append_of

STREAMS = ("a", "b", "ä")


class Write(NamedTuple):
    """A request, or a snapshot."""

    stream_id: str
    values: Sequence[Any]
    named: bool
    tags: tuple[str, ...]
    metadata: dict[str, int]
    time: int
    snapshot: bool


plain = st.none() | st.integers(-3, 3) | st.text(max_size=3) | st.binary(max_size=3)
writes = st.lists(
    st.builds(
        Write,
        st.sampled_from(STREAMS),
        st.lists(plain, min_size=1, max_size=6),
        st.booleans(),
        st.sampled_from([(), ("red",), ("blue", "red")]),
        st.sampled_from([{}, {"correlation_id": 1}]),
        st.integers(0, 1),
        st.integers(0, 5).map(lambda n: n == 0),
    ),
    max_size=12,
)  # fmt: skip
cut_off = st.lists(st.integers(1, 5), max_size=4)
stores = st.sampled_from(["memory", "file"])
nothing = Write("a", [1], named=False, tags=(), metadata={}, time=0, snapshot=False)


class _CutOffError(Exception):
    """The copy was cut off."""


async def write(journal: Journal, number: int, asked: Write) -> None:
    store = journal.store
    if asked.snapshot:
        version = StoredSnapshot(asked.stream_id, number, StoredType("S", 2), TIMESTAMP, msgspec.msgpack.encode(number))
        await store.save_snapshot(version)
        return
    request = append_of(
        asked.stream_id,
        *map(msgspec.msgpack.encode, asked.values),
        tags=asked.tags,
        metadata=asked.metadata,
        timestamp=TIMESTAMP + asked.time,
        event_id=f"id-{number}" if asked.named else None,
    )
    await store.append(request)


async def check_same(source: Journal, target: Journal, asked: Sequence[Write]) -> None:
    one, other = await everything(source.store), await everything(target.store)
    assert [record.position for record in other] == [record.position for record in one]
    assert list(map(content_of(target.id), other)) == list(map(content_of(source.id), one))
    for stream_id in STREAMS:
        listed = await source.store.list_snapshots(stream_id)
        assert await target.store.list_snapshots(stream_id) == listed
        newest = await source.store.load_snapshot(stream_id, through=POSITION_MAX)
        assert await target.store.load_snapshot(stream_id, through=POSITION_MAX) == newest
    for number, each in enumerate(asked):
        if each.named and not each.snapshot:
            again = append_of(each.stream_id, b"\xc0", event_id=f"id-{number}")
            first = await source.store.append(again)
            found = await target.store.append(again)
            assert list(map(content_of(target.id), found)) == list(map(content_of(source.id), first))


@pytest.mark.parametrize(
    ("page_records", "examples"),
    [
        (3, 15),
        pytest.param(3, 150, marks=pytest.mark.soak),
        pytest.param(4_096, 50, marks=pytest.mark.soak),
    ],
)
def test_a_copy_reads_as_its_source_does(page_records: int, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @example(asked=[nothing._replace(named=True), nothing], cuts=[], kinds=("memory", "memory"), more=[])
    @example(asked=[nothing._replace(named=True, values=[1, 2, 3, 4])] * 2, cuts=[2], kinds=("file", "memory"), more=[])
    @example(asked=[nothing._replace(snapshot=True)], cuts=[], kinds=("memory", "memory"), more=[])
    @given(asked=writes, cuts=cut_off, kinds=st.tuples(stores, stores), more=writes)
    def check(asked: list[Write], cuts: list[int], kinds: tuple[str, str], more: list[Write]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walking, "PAGE_RECORDS", page_records)
            anyio.run(check_copies, asked, cuts, kinds, more)

    check()


async def check_copies(asked: list[Write], cuts: list[int], kinds: tuple[str, str], more: list[Write]) -> None:
    """Check two copies, each cut off before, with more written between them."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            source, target = [
                await stack.enter_async_context(
                    Journal.open("memory://" if kind == "memory" else Path(folder) / f"{name}.db", durability="relaxed")
                )
                for kind, name in zip(kinds, ("source", "target"), strict=True)
            ]
            for number, each in enumerate(asked):
                await write(source, number, each)
            for cut in cuts:
                await copied_until(source, target, cut)
            first = await copy_journal(source, target)
            await check_same(source, target, asked)
            for number, each in enumerate(more, len(asked)):
                await write(source, number, each)
            for cut in cuts:
                await copied_until(source, target, cut)
            second = await copy_journal(source, target)
            await check_same(source, target, [*asked, *more])
            assert first.same_positions
            assert second.same_positions
            assert (first.checksum == second.checksum) == all(each.snapshot for each in more)


async def copied_until(source: Journal, target: Journal, cut: int) -> None:
    """Copy, until so many things have been told."""
    left = cut

    def tell(_: CopyProgress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _CutOffError

    try:
        await copy_journal(source, target, on_progress=tell)
    except _CutOffError:
        return
