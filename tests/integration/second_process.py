"""What a second process does to a journal that the first has open.

python -m tests.integration.second_process contend PATH EVENTS    append with expected versions, again after conflicts
python -m tests.integration.second_process ping PATH EVENTS       say the time, every few milliseconds
"""

import asyncio
import sys
import time
from dataclasses import dataclass

from calliope import ExpectedVersionError, Journal
from tests.integration.journal_workload import Step

CONTENDED = "contended"
PINGS = "pings"
PING_SECONDS = 0.015


@dataclass(frozen=True)
class Ping:
    """When it was sent, in nanoseconds of the clock that all processes share."""

    sent_nanoseconds: int


async def contend(journal: Journal, run: int, events: int) -> int:
    """Append so many events, each behind those that are known of; return how often there were others.

    Nothing is known of at first, so whoever is not the first of all finds others at least once.
    """
    known = conflicts = 0
    for request in range(events):
        known, met = await _append_behind(known, journal, run, request)
        conflicts += met
    return conflicts


async def contend_until(ended: asyncio.Event, journal: Journal, run: int, pause_seconds: float) -> tuple[int, int]:
    """Append events as `contend` does until that has ended; return how many, and how many conflicts."""
    events = known = conflicts = 0
    while not ended.is_set():
        known, met = await _append_behind(known, journal, run, events)
        events, conflicts = events + 1, conflicts + met
        await asyncio.sleep(pause_seconds)
    return events, conflicts


async def _append_behind(known: int, journal: Journal, run: int, request: int) -> tuple[int, int]:
    """Append an event; return the version that is known then, and how often there were events that were not known."""
    stream, conflicts = journal.event_stream(CONTENDED, Step), 0
    while True:
        try:
            reply = await stream.persist(Step(run, 0, request, 0, 1), expected_version=known)
        except ExpectedVersionError:
            conflicts += 1
            known = await stream.version()
        else:
            return reply.sequence_number, conflicts


async def ping(journal: Journal, events: int) -> None:
    """Say the time so many times."""
    stream = journal.event_stream(PINGS, Ping)
    for _ in range(events):
        await stream.persist(Ping(time.monotonic_ns()))
        await asyncio.sleep(PING_SECONDS)


async def main(action: str, path: str, events: int) -> None:
    async with Journal.open(path) as journal:
        if action == "contend":
            print(await contend(journal, 2, events))
        else:
            await ping(journal, events)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
