"""`NatsLease`: one node at a time over a journal, for as long as it lives, and none that only believes so.

1. Who holds the journal says so every `RENEW_SECONDS` in one note, each time expecting that the last one was his own.
   A second node watches the note: if it changes, somebody lives, and the second node is refused. If it stays the same
   for `LOST_SECONDS`, by the second one's own clock, the holder counts as gone.
2. A holder may be cut off, or stopped, and go on later. So the holder is also named in the replica's log, and whatever
   a node writes as a node looks whether it is still named there (a fencing token). Who takes the note over names
   himself; whoever was named before him can write no more.
3. A holder that finds another one's note ends.

So no clock is compared with another one's, and nothing that is written depends on one. Ordinary writers of replicated
streams need no lease: what they write is numbered by the log.
"""

import asyncio
import time

from calliope.errors import CalliopeError, JournalBusyError
from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_commit import new_name
from calliope.stores.nats_errors import NoAnswerError
from calliope.stores.nats_log import NatsLog, Raw
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_subjects import NatsSubjects

RENEW_SECONDS = 1.0
"""How often the holder says that it lives."""

LOST_SECONDS = 6.0
"""How long a note stays the same until its holder counts as gone."""

NOBODY = b""
"""The note of a holder that let go."""


class NatsLease:
    """What a node holds. Used in the store's thread.

    Args:
        publisher: writes the note.
        notes: where it is.
        subjects: its subject.

    Attributes:
        holder: names this node.
    """

    def __init__(self, publisher: Publisher, notes: NatsLog, subjects: NatsSubjects) -> None:
        self.holder = new_name()
        self._address: NatsAddress = publisher.connection.address
        self._publisher = publisher
        self._notes = notes
        self._subject = subjects.lease
        self._sequence = 0
        self._is_wanted = True
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Take the note over when nobody holds it; that is known at once, or after `LOST_SECONDS`.

        Raises:
            JournalBusyError: another node holds it.
        """
        seen = await self._notes.last(self._subject)
        if seen is not None and seen.data != NOBODY:
            await self._watch(seen)
        if not await self._renewed(0 if seen is None else seen.sequence):
            raise JournalBusyError(f"another node runs on {self._address.shown}")
        if not self._is_wanted:  # who wanted it was cancelled
            await self.release()

    async def renew(self) -> None:
        """Say that the holder lives; while the server is away, nothing can be told or written.

        Raises:
            JournalBusyError: another node holds the journal now, or has held it meanwhile.
        """
        try:
            async with self._turn:
                renewed = await self._renewed(self._sequence)
        except (CalliopeError, NoAnswerError):
            return
        if not renewed:
            raise taken_over(self._address)

    async def release(self) -> None:
        """Let go, if the server can be told; if not, others wait until the holder counts as gone."""
        self._is_wanted = False
        if not self._sequence:
            return
        try:
            async with self._turn:
                await self._publisher.publish([(self._subject, NOBODY)], self._sequence)
        except (CalliopeError, NoAnswerError):
            return

    async def _watch(self, seen: Raw) -> None:
        """Return when a note has stayed the same for long; times when servers did not answer at once do not count."""
        begun = looked = time.monotonic()
        while looked - begun < LOST_SECONDS:
            await asyncio.sleep(RENEW_SECONDS / 4)
            now = await self._notes.last(self._subject)
            if now is None or now.sequence != seen.sequence:
                raise JournalBusyError(f"another node runs on {self._address.shown}")
            before, looked = looked, time.monotonic()
            if looked - before > RENEW_SECONDS:
                begun = looked  # the holder was not answered either

    async def _renewed(self, after: int) -> bool:
        """Say that this node holds the journal, behind a note; tell whether that was the last one."""
        sequence = await self._publisher.publish([(self._subject, self.holder.encode())], after)
        if sequence is None:  # somebody else's, or our own: an acknowledgement that was lost
            found: Raw | None = await self._notes.last(self._subject)
            if found is None or found.data != self.holder.encode():
                return False
            sequence = found.sequence
        self._sequence = sequence
        return True


def taken_over(address: NatsAddress) -> JournalBusyError:
    """Return the error of a node that was replaced."""
    return JournalBusyError(
        f"another node has taken {address.shown} while this one was cut off from the server; nothing was written"
    )
