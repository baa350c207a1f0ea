import anyio
import pytest

from calliope.errors import JournalClosedError
from calliope.stores import tail as tail_module
from calliope.stores.record import NO_ATTRIBUTES, Attributes, Selection, StoredRecord, StoredType
from calliope.stores.tail import Tail

EVERYTHING = Selection()


def record(position: int, stream_id: str = "a", *, payload: bytes = b"", tags: tuple[str, ...] = ()) -> StoredRecord:
    attributes = Attributes(None, tags) if tags else NO_ATTRIBUTES
    return StoredRecord(position, stream_id, position, StoredType("event", 1), 0, payload, attributes)


def positions(records: list[StoredRecord]) -> list[int]:
    return [record.position for record in records]


@pytest.fixture
def tail() -> Tail:
    """A tail behind position 10, with three commits."""
    tail = Tail(10)
    tail.publish([record(11, "a"), record(12, "b")])
    tail.publish([record(13, "a")])
    tail.publish([record(14, "c"), record(15, "a", tags=("red",))])
    return tail


def test_a_tail_gives_what_follows_a_position(tail: Tail) -> None:
    assert tail.position == 15
    assert positions(tail.after(10, EVERYTHING)) == [11, 12, 13, 14, 15]
    assert positions(tail.after(11, EVERYTHING)) == [12, 13, 14, 15]
    assert positions(tail.after(13, EVERYTHING)) == [14, 15]
    assert tail.after(15, EVERYTHING) == []


def test_a_tail_gives_only_what_is_selected(tail: Tail) -> None:
    assert positions(tail.after(10, Selection(stream_id="a"))) == [11, 13, 15]
    assert positions(tail.after(11, Selection(stream_id="a"))) == [13, 15]
    assert positions(tail.after(10, Selection(tags=frozenset({"red"})))) == [15]
    assert positions(tail.after(10, Selection(prefix="c"))) == [14]
    assert tail.after(10, Selection(stream_id="z")) == []


def test_a_tail_covers_what_came_since_it_began(tail: Tail) -> None:
    assert not tail.covers(9)
    assert tail.covers(10)
    assert tail.covers(99)


def test_publishing_nothing_changes_nothing(tail: Tail) -> None:
    tail.publish([])
    assert tail.position == 15


@pytest.mark.parametrize("bound", ["records", "bytes"])
def test_a_tail_forgets_the_oldest_and_says_so(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(tail_module, "TAIL_RECORDS_MAX", 5 if bound == "records" else 10**9)
    monkeypatch.setattr(tail_module, "TAIL_BYTES_MAX", 50 if bound == "bytes" else 10**9)
    tail = Tail()
    for position in range(1, 101, 2):
        tail.publish([record(position, payload=bytes(10)), record(position + 1, payload=bytes(10))])
        start = next(start for start in range(position + 2) if tail.covers(start))
        assert positions(tail.after(start, EVERYTHING)) == list(range(start + 1, position + 2))
        assert len(tail.after(start, EVERYTHING)) <= 5
    assert positions(tail.after(96, EVERYTHING)) == [97, 98, 99, 100]


def test_a_commit_beyond_the_bound_is_not_kept_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_RECORDS_MAX", 5)
    tail = Tail()
    tail.publish([record(position) for position in range(1, 7)])
    assert tail.position == 6
    assert not tail.covers(5)
    assert tail.covers(6)


def test_after_a_jump_nothing_before_it_is_covered(tail: Tail) -> None:
    tail.reset(100)
    assert tail.position == 100
    assert not tail.covers(99)
    tail.publish([record(101)])
    assert positions(tail.after(100, EVERYTHING)) == [101]


class Waiters:
    """Tasks that wait, and the names of those who woke up."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self.woken: list[str] = []

    async def wait(self, name: str, stream_id: str | None) -> None:
        await self._tail.wait(stream_id)
        self.woken.append(name)


@pytest.mark.anyio
async def test_a_publication_wakes_those_whose_stream_it_touches(tail: Tail) -> None:
    waiters = Waiters(tail)
    async with anyio.create_task_group() as tasks:
        for name, stream_id in {"a1": "a", "a2": "a", "b": "b", "all": None}.items():
            tasks.start_soon(waiters.wait, name, stream_id)
        await anyio.wait_all_tasks_blocked()
        assert tail.awaited
        tail.publish([record(16, "a")])
        await anyio.wait_all_tasks_blocked()
        assert sorted(waiters.woken) == ["a1", "a2", "all"]
        tail.publish([record(17, "b")])
    assert sorted(waiters.woken) == ["a1", "a2", "all", "b"]
    assert not tail.awaited


@pytest.mark.anyio
async def test_a_jump_wakes_everybody(tail: Tail) -> None:
    waiters = Waiters(tail)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiters.wait, "a", "a")
        tasks.start_soon(waiters.wait, "all", None)
        await anyio.wait_all_tasks_blocked()
        tail.reset(100)
    assert sorted(waiters.woken) == ["a", "all"]


@pytest.mark.anyio
async def test_closing_wakes_everybody_and_refuses_to_wait_any_more(tail: Tail) -> None:
    waiters = Waiters(tail)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiters.wait, "a", "a")
        tasks.start_soon(waiters.wait, "all", None)
        await anyio.wait_all_tasks_blocked()
        tail.close()
    assert sorted(waiters.woken) == ["a", "all"]
    with pytest.raises(JournalClosedError):
        await tail.wait("a")


@pytest.mark.anyio
async def test_those_who_stop_waiting_leave_nothing_behind_and_the_others_wait_on(tail: Tail) -> None:
    waiters = Waiters(tail)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as cancelled:
            for number in range(100):
                cancelled.start_soon(waiters.wait, f"cancelled {number}", f"stream-{number % 50}")
            tasks.start_soon(waiters.wait, "patient", "stream-7")
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
        assert tail.awaited
        tail.publish([record(16, "stream-7")])
    assert waiters.woken == ["patient"]
    assert not tail.awaited
