"""`Arrivals`: what was stored, published to readers in the order in which it was stored.

Acknowledgements tell the sequence numbers of what this process wrote. If something is missing between them, another
process wrote it, and it is read before what follows is published; a caller resumes after that. What others write while
this process writes nothing is found by looking: at a word from them, after each reconnection, and now and then in case
the word was lost. A word says that there is something, the journal says what; so nothing is missed, or seen twice.

Invariant: records are published in the order of their sequence numbers, each once, or else what was left out is said.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from calliope.stores.nats_crossing import Call, Crossing, NatsThread
from calliope.stores.nats_log import NatsLog, Raw
from calliope.stores.nats_message import MessageRows, position_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.record import StoredRecord

FOREIGN_MESSAGES_MAX = 1_024
"""How many messages of other processes are read into the tail at once; beyond that readers read pages."""

LOOK_SECONDS = 1.0
"""How often it looks although nobody said a word."""


@dataclass(slots=True)
class Advance:
    """What became visible.

    Attributes:
        records: new records that follow one another, in order.
        jumped_to: when set, the position before `records`; what lies below it was not read.
    """

    records: list[StoredRecord]
    jumped_to: int | None = None


class Reading(Protocol):
    """Whether anybody waits for records."""

    @property
    def awaited(self) -> bool: ...  # noqa: D102 - see above


class Arrivals:
    """Publishes what is stored. Used in the store's thread, but for `reading`, which is looked at only.

    Args:
        thread: whose tasks look for what others wrote.
        crossing: takes what became visible.
        log: the events.
        subjects: their subjects.
        reading: says whether anybody waits.
        say: tells other processes that there is something new.

    Attributes:
        rows: makes records of messages.
        sequence: the sequence number of the last message that was published.
        position: the position of the last event that was published.
    """

    def __init__(
        self,
        thread: NatsThread,
        crossing: Crossing[Advance],
        log: NatsLog,
        subjects: NatsSubjects,
        reading: Reading,
        say: Callable[[], None],
    ) -> None:
        self.rows = MessageRows()
        self.sequence = 0
        self.position = 0
        self._reading = reading
        self._say = say
        self._thread = thread
        self._crossing = crossing
        self._log = log
        self._subjects = subjects
        self._arrived: dict[int, list[StoredRecord]] = {}
        self._waiting: list[tuple[int, Call]] = []
        self._awaiting: list[tuple[int, asyncio.Future[None]]] = []
        self._advancing = False
        self._filling = False
        self._looking = False
        self._look_again = False

    def begin(self, sequence: int, position: int) -> None:
        """Begin after the last message that there was when the journal was opened, and its last event."""
        self.sequence, self.position = sequence, position
        self._thread.spawn(self._look_regularly())

    def stored(self, sequence: int, records: list[StoredRecord]) -> None:
        """Take a message that this process wrote."""
        if sequence > self.sequence:
            self._arrived[sequence] = records
            self._advance_soon()

    def finish_after(self, sequence: int, call: Call) -> None:
        """Have a caller go on when everything through a message is published."""
        if sequence <= self.sequence:
            self._crossing.finish(call)
        else:
            self._waiting.append((sequence, call))
            self._advance_soon()

    async def published(self, sequence: int) -> None:
        """Return when everything through a message is published, or its publication is under way."""
        if sequence > self.sequence:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaiting.append((sequence, turn))
            self._advance_soon()
            self.look()  # another process may have written it
            await turn

    def look(self) -> None:
        """Find out what others wrote."""
        if self._looking:
            self._look_again = True
        else:
            self._looking = True
            self._thread.spawn(self._look())

    def _advance_soon(self) -> None:
        if not self._advancing:
            self._advancing = True
            self._thread.loop.call_soon(self._advance)

    def _advance(self) -> None:
        self._advancing = False
        if self._arrived:
            self._say()
        self._publish()
        if self._arrived and not self._filling:
            self._filling = True
            self._thread.spawn(self._fill())

    def _publish(self) -> None:
        """Publish what follows what was published."""
        records: list[StoredRecord] = []
        while (following := self._arrived.pop(self.sequence + 1, None)) is not None:
            self.sequence += 1
            records += following
        if records:
            self.position = records[-1].position
            self._crossing.tell(Advance(records))
        self._wake()

    def _jump(self, sequence: int) -> None:
        """Go on after a message although what lies before it was not read."""
        if sequence > self.sequence:
            self.sequence, self.position = sequence, position_of(sequence + 1) - 1
            self._arrived = {each: records for each, records in self._arrived.items() if each > sequence}
            self._crossing.tell(Advance([], jumped_to=self.position))
            self._wake()

    def _wake(self) -> None:
        if self._waiting:
            for sequence, call in self._waiting:
                if sequence <= self.sequence:
                    self._crossing.finish(call)
            self._waiting = [(sequence, call) for sequence, call in self._waiting if sequence > self.sequence]
        if self._awaiting:
            awaiting, self._awaiting = self._awaiting, []
            for sequence, turn in awaiting:
                if sequence > self.sequence:
                    self._awaiting.append((sequence, turn))
                elif not turn.done():
                    turn.set_result(None)

    async def _fill(self) -> None:
        """Read what others wrote before what this process wrote."""
        try:
            while self._arrived:
                first = min(self._arrived)
                await self._read_through(first - 1)
                self._publish()
        finally:
            self._filling = False

    async def _read_through(self, sequence: int) -> None:
        """Publish what was stored through a message, or jump over it if it is too much or not wanted."""
        missing = sequence - self.sequence
        if missing <= 0:
            return
        if missing <= FOREIGN_MESSAGES_MAX and self._reading.awaited:
            with suppress(Exception):  # who reads meets the damage, or asks again; nobody waits here for ever
                await self._read(sequence)
        self._jump(sequence)

    async def _read(self, sequence: int) -> None:
        while self.sequence < sequence:
            raw, _ = await self._log.read(self._subjects.events, self.sequence + 1, sequence - self.sequence)
            if not raw:
                return
            for each in raw:
                if each.sequence > self.sequence:
                    self._arrived[each.sequence] = self.rows.records(each.checked())
            self._publish()
            if self.sequence < raw[-1].sequence:
                return  # some are missing

    async def _look(self) -> None:
        try:
            while True:
                self._look_again = False
                await self._look_once()
                if not self._look_again:
                    return
        finally:
            self._looking = False

    async def _look_once(self) -> None:
        try:
            last = await self._log.last(self._subjects.events)
            if last is None or last.sequence <= self.sequence:
                return
            await self._take(last)
        except Exception:  # who reads or writes meets it himself
            return
        self._publish()

    async def _take(self, last: Raw) -> None:
        records = self._records_of(last)
        await self._read_through(last.sequence - 1)
        if last.sequence == self.sequence + 1:
            self._arrived.setdefault(last.sequence, records)

    def _records_of(self, raw: Raw) -> list[StoredRecord]:
        try:
            return self.rows.records(raw.checked())
        except Exception:
            self._jump(raw.sequence)
            raise

    async def _look_regularly(self) -> None:
        """Look if anything follows what is known: asking that costs nothing, where the last message may be large."""
        while True:
            with suppress(Exception):  # who reads or writes meets it himself
                if await self._log.next(self._subjects.events, self.sequence + 1) is not None:
                    self.look()
            await asyncio.sleep(LOOK_SECONDS)
