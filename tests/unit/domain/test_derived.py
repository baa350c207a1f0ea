"""Derived streams: numbers of their own that follow from the journal alone."""

from dataclasses import dataclass

import anyio
import pytest

from calliope import Journal, Sink, event
from calliope.domain.derived_stream import DerivedStream

pytestmark = pytest.mark.anyio


@event("derived-test-changed")
@dataclass(frozen=True)
class Changed:
    n: int


@event("derived-test-noted")
@dataclass(frozen=True)
class Noted:
    n: int


async def fill(journal, numbers):
    """Persist every number as a change or a note, in three streams, the even ones with a tag."""
    for n in numbers:
        kind = Changed if n % 3 else Noted
        tags = ("even",) if n % 2 == 0 else ()
        await journal.event_stream(f"s-{n % 3}", Changed | Noted).persist(kind(n), tags=tags)


async def entries(source):
    return [(entry.sequence_number, entry.data.n) for entry in await source.run_collect()]


def numbered(numbers):
    return list(enumerate(numbers, 1))


async def test_records_are_numbered_in_the_order_of_the_journal(journal):
    await fill(journal, range(1, 13))

    assert await entries(DerivedStream(journal, "even", tags="even").query()) == numbered([2, 4, 6, 8, 10, 12])
    assert await entries(DerivedStream(journal, "notes", types=Noted).query()) == numbered([3, 6, 9, 12])
    assert await entries(DerivedStream(journal, "s", prefix="s-1").query()) == numbered([1, 4, 7, 10])
    big = DerivedStream(journal, "big", predicate=lambda record: record.data.n > 9)
    assert await entries(big.query()) == numbered([10, 11, 12])


async def test_an_entry_tells_where_its_event_was_written(journal):
    await fill(journal, [1, 3, 6])
    (entry,) = await DerivedStream(journal, "notes", types=Noted).query(after=1).run_collect()

    assert (entry.sequence_number, entry.position, entry.data) == (2, 3, Noted(6))
    assert (entry.record.stream_id, entry.record.sequence_number) == ("s-0", 2)


@pytest.mark.parametrize("interval", [1, 2, 3, 7, 100])
async def test_every_part_reads_as_a_slice_of_the_whole(journal, interval):
    await fill(journal, range(1, 31))
    stream = DerivedStream(journal, "even", tags="even", interval=interval)
    whole = numbered(range(2, 31, 2))
    for _ in range(2):  # the first time marks are set, the second time used
        for after in (0, 1, 2, 6, 7, 14, 15, 16, 99):
            assert await entries(stream.query(after)) == whole[after:]
            assert await entries(stream.query(after, until=8)) == whole[after:8]
            assert await entries(stream.query(after).take(2)) == whole[after : after + 2]


async def test_reading_on_does_not_read_from_the_beginning(memory_journal):
    asked = []

    def is_even(record):
        asked.append(record.data.n)
        return record.data.n % 2 == 0

    await fill(memory_journal, range(1, 101))
    stream = DerivedStream(memory_journal, "even", predicate=is_even, interval=10)
    await stream.query().run_drain()
    asked.clear()

    assert await entries(stream.query(after=45)) == numbered(range(2, 101, 2))[45:]
    assert min(asked) == 81  # the mark of number 40 is at position 80
    asked.clear()
    assert await entries(stream.query(after=17, until=18)) == [(18, 36)]
    assert min(asked) == 21


async def test_numbers_persist_when_the_journal_is_opened_again(tmp_path, anyio_backend):
    for first in (1, 11, 21):
        async with Journal.open(tmp_path / "journal.db") as journal:
            await fill(journal, range(first, first + 10))
            stream = DerivedStream(journal, "even", tags="even", interval=3)
            after = (first - 1) // 2
            assert await entries(stream.query(after)) == numbered(range(2, first + 10, 2))[after:]


async def test_a_live_query_goes_on_with_new_records_and_their_numbers(journal):
    await fill(journal, range(1, 7))
    stream = DerivedStream(journal, "even", tags="even", interval=2)
    async with stream.live_query(after=2).take(3).running(Sink.collect()) as run:
        await fill(journal, range(7, 11))
        with anyio.fail_after(10):
            found = await run.result()

    assert [(entry.sequence_number, entry.data.n) for entry in found] == [(3, 6), (4, 8), (5, 10)]


async def test_another_choice_has_marks_of_its_own(journal):
    await fill(journal, range(1, 21))
    await DerivedStream(journal, "mine", tags="even", interval=2).query().run_drain()

    odd = DerivedStream(journal, "mine", predicate=lambda record: record.data.n % 2, interval=2)
    assert await entries(odd.query(after=4)) == numbered(range(1, 21, 2))[4:]
    low = DerivedStream(journal, "mine", predicate=lambda record: record.data.n < 12, interval=2, revision=2)
    assert await entries(low.query(after=4)) == numbered(range(1, 12))[4:]


async def test_a_lost_mark_costs_time_and_no_number(memory_journal):
    await fill(memory_journal, range(1, 21))
    stream = DerivedStream(memory_journal, "even", tags="even", interval=2)
    await stream.query().run_drain()
    ids = [f"{stream._index._name}:{number}" for number in (4, 6)]
    assert [await memory_journal.snapshots.delete_snapshots(each) for each in ids] == [1, 1]

    assert await entries(stream.query(after=7)) == numbered(range(2, 21, 2))[7:]


async def test_entries_before_an_error_of_the_predicate_come_first(memory_journal):
    await fill(memory_journal, [1, 2, 0, 4])
    stream = DerivedStream(memory_journal, "d", predicate=lambda record: 1 / record.data.n)
    found = []
    with pytest.raises(ZeroDivisionError):
        await stream.query().run_for_each(lambda entry: found.append(entry.data.n))

    assert found == [1, 2]


def test_mistakes_are_told_where_they_are_made():
    journal = Journal.open("memory://")
    with pytest.raises(ValueError, match="name must not be empty"):
        DerivedStream(journal, "")
    with pytest.raises(TypeError, match="predicate must be callable"):
        DerivedStream(journal, "a", predicate=7)
    with pytest.raises(ValueError, match="interval must be from 1"):
        DerivedStream(journal, "a", interval=0)
    with pytest.raises(ValueError, match="after must be from 0"):
        DerivedStream(journal, "a").query(after=-1)
