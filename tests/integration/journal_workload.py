"""A workload whose every event says what it belongs to, and the check that nothing of it is lost, halved or doubled.

Run as a program it persists, by default until it is killed, and prints a line for each acknowledgement.
"""

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, TypeVar

from calliope import Journal, RecordedEvent

A = TypeVar("A")

STREAMS = 5
SIZES = (1, 1, 3, 1, 7)
"""How many events the requests of one caller have, in turn."""


@dataclass(frozen=True)
class Step:
    """The `index`-th of `size` events of one request of one caller."""

    run: int
    caller: int
    request: int
    index: int
    size: int


class Acknowledgement(NamedTuple):
    """What a caller was told: where the last event of its request stands."""

    run: int
    caller: int
    request: int
    position: int
    sequence_number: int


async def persist(journal: Journal, run: int, caller: int, request: int) -> Acknowledgement:
    """Persist one request: some of several events, some with an event id, some with tags."""
    size = SIZES[(caller + request) % len(SIZES)]
    stream = journal.event_stream(f"stream-{(7 * caller + request) % STREAMS}", Step)
    reply = await stream.persist(
        [Step(run, caller, request, index, size) for index in range(size)],
        event_id=event_id(run, caller, request),
        tags=f"tag-{request % 3}" if request % 2 else (),
    )
    return Acknowledgement(run, caller, request, reply.position, reply.sequence_number)


def event_id(run: int, caller: int, request: int) -> str | None:
    """Return the id of a request; one in three has none."""
    return f"{run}-{caller}-{request}" if (caller + request) % 3 else None


async def work(
    journal: Journal,
    run: int,
    callers: int,
    requests: Iterable[int],
    acknowledge: Callable[[A], None],
    persist: Callable[[Journal, int, int, int], Awaitable[A]],
) -> None:
    """Let several callers persist requests at the same time."""

    async def call(caller: int) -> None:
        for request in requests:
            acknowledge(await persist(journal, run, caller, request))

    async with asyncio.TaskGroup() as tasks:
        for caller in range(callers):
            tasks.create_task(call(caller))


async def check(
    journal: Journal, acknowledged: Collection[Acknowledgement], *, doubles: bool = False, dense: bool = True
) -> int:
    """Read everything in every way and check it against what was acknowledged; return how many events there are.

    Args:
        journal: what is checked.
        acknowledged: what must be there.
        doubles: whether a request without an event id may stand there twice, because it was sent again.
        dense: whether the store promises positions without holes.
    """
    log = await journal.records(event_type=Step).run_collect()
    positions = [record.position for record in log]
    if dense:
        assert positions == list(range(1, len(log) + 1)), "positions are dense"
    assert positions == sorted(set(positions)), "positions increase"
    await _check_streams(journal, log)
    await _check_tags(journal, log)
    _check_requests(log, doubles=doubles)
    by_position = dict(zip(positions, log, strict=True))
    for run, caller, request, position, sequence_number in acknowledged:
        assert position in by_position, f"position {position} was acknowledged, the journal ends at {positions[-1:]}"
        record = by_position[position]
        assert (record.data.run, record.data.caller, record.data.request) == (run, caller, request)
        assert record.sequence_number == sequence_number
        assert record.data.index == record.data.size - 1
    return len(log)


async def _check_streams(journal: Journal, log: list[RecordedEvent[Step]]) -> None:
    streams: defaultdict[str, list[RecordedEvent[Step]]] = defaultdict(list)
    for record in log:
        streams[record.stream_id].append(record)
    summaries = await journal.streams().run_collect()
    assert {s.stream_id: s.sequence_number for s in summaries} == {s: len(r) for s, r in streams.items()}
    for stream_id, expected in streams.items():
        assert [record.sequence_number for record in expected] == list(range(1, len(expected) + 1))
        assert await journal.event_stream(stream_id, Step).records().run_collect() == expected


async def _check_tags(journal: Journal, log: list[RecordedEvent[Step]]) -> None:
    for tag in {tag for record in log for tag in record.tags}:
        tagged = await journal.records(tags=tag, event_type=Step).run_collect()
        assert tagged == [record for record in log if tag in record.tags]


def _check_requests(log: list[RecordedEvent[Step]], *, doubles: bool) -> None:
    """No request is there in part, and none twice."""
    place = 0
    seen: Counter[tuple[int, int, int]] = Counter()
    while place < len(log):
        first = log[place].data
        whole = [Step(first.run, first.caller, first.request, index, first.size) for index in range(first.size)]
        assert [record.data for record in log[place : place + first.size]] == whole
        assert len({record.stream_id for record in log[place : place + first.size]}) == 1
        seen[first.run, first.caller, first.request] += 1
        place += first.size
    for key, times in seen.items():
        assert times == 1 or (doubles and event_id(*key) is None), f"request {key} was written {times} times"


async def _persist_and_print(path: str, run: int, callers: int, requests: Iterable[int]) -> None:
    async with Journal.open(path) as journal:
        await work(journal, run, callers, requests, _print, persist)


async def _persist_rounds(path: str, run: int, callers: int, requests: int) -> None:
    """Persist so many requests for each line that is read, and say when they are done."""
    async with Journal.open(path) as journal:
        for number in count():
            if not await asyncio.to_thread(sys.stdin.readline):
                return
            await work(journal, run, callers, range(number * requests, (number + 1) * requests), _print, persist)
            sys.stdout.write("done\n")
            sys.stdout.flush()


def _print(done: Acknowledgement) -> None:
    sys.stdout.write(" ".join(map(str, done)) + "\n")  # in one piece, whatever the buffering
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="of a journal's file, or its URL")
    parser.add_argument("--run", type=int, default=0)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--requests", type=int)
    parser.add_argument(
        "--wait", action="store_true", help="say that it is ready, and wait for a line before it begins"
    )
    parser.add_argument("--rounds", action="store_true", help="persist that many requests for each line that comes")
    arguments = parser.parse_args()
    if arguments.wait:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    if arguments.rounds:
        asyncio.run(_persist_rounds(arguments.path, arguments.run, arguments.callers, arguments.requests))
    else:
        requests = count() if arguments.requests is None else range(arguments.requests)
        asyncio.run(_persist_and_print(arguments.path, arguments.run, arguments.callers, requests))
