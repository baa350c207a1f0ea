"""`NatsCommits`: the commits of a replica's log, as JetStream keeps them; see `nats_commit`.

They are found by log position, by number of an entry, or by vector: all of these only grow from commit to commit, so
the commit is searched for by halving. What is removed leaves holes, which do no harm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from calliope.errors import CorruptJournalError
from calliope.stores.nats_commit import NO_COMMIT, Commit, joined, messages_of, part_of
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_errors import ServerError, refusal
from calliope.stores.nats_log import NatsLog, Raw, asked_of_jetstream
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_streams import log_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.versioned import LogEntry

READ_MESSAGES_MAX = 256
"""How many messages are read at once."""


class _Purged(msgspec.Struct):
    error: ServerError | None = None


_decode_purged = msgspec.json.Decoder(_Purged).decode


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A commit in its place.

    Attributes:
        first: the sequence number of its first message.
        last: that of its last; 0: there is no commit.
        commit: the commit.
    """

    first: int
    last: int
    commit: Commit


NOTHING_STORED = StoredCommit(0, 0, NO_COMMIT)


class NatsCommits:
    """Reads and writes commits. Used in the store's thread.

    Args:
        publisher: publishes them.
        log: where they are.
        subjects: their subjects.
    """

    def __init__(self, publisher: Publisher, log: NatsLog, subjects: NatsSubjects) -> None:
        self._publisher = publisher
        self._log = log
        self._subjects = subjects
        self._head = NOTHING_STORED

    async def head(self) -> StoredCommit:
        """Return the last commit."""
        raw = await self._log.last(self._subjects.log)
        if raw is None:
            return NOTHING_STORED
        if raw.sequence != self._head.last:
            self._head = await self._whole(raw)
        return self._head

    async def publish(self, commit: Commit, after: StoredCommit, pauses: Pauses) -> StoredCommit | None:
        """Write a commit behind another; return it in its place, or None if that one is not the last.

        What is published again after it was stored is refused: then None is returned, too, and the caller has to look.

        Raises:
            StorageFullError, StorageError: the server refuses; nothing was written.
            NoAnswerError: nobody answered; the outcome is unknown if it was sent.
        """
        subject = self._subjects.log_of_events if commit.has_events else self._subjects.log_of_others
        messages = [(subject, message) for message in messages_of(commit)]
        last = await self._publisher.publish(messages, after.last, pauses, among=self._subjects.log)
        if last is None:
            return None
        self._head = StoredCommit(last - len(messages) + 1, last, commit)
        return self._head

    async def following(self, sequence: int) -> list[StoredCommit]:
        """Return commits that begin behind a message, in order; none: there are none."""
        raw, _ = await self._log.read(self._subjects.log, sequence + 1, READ_MESSAGES_MAX)
        found: list[StoredCommit] = []
        place = 0
        while place < len(raw):
            count = part_of(raw[place].sequence, raw[place].data).parts
            if place + count > len(raw):
                if not found:
                    found.append(await self._whole(raw[place]))
                break
            found.append(_stored(raw[place : place + count]))
            place += count
        return found

    async def first_that(self, holds: Callable[[Commit], bool], head: StoredCommit) -> StoredCommit | None:
        """Return the first commit of which something holds that holds of all later ones; up to a head."""
        low, high, found = 1, head.first, None
        if not head.last or not holds(head.commit):
            return None
        found = head
        while low < high:
            middle = (low + high) // 2
            stored = await self._from(middle)
            if stored is None or stored.first >= high:
                high = middle  # nothing begins between
            elif holds(stored.commit):
                found, high = stored, min(middle, stored.first)
            else:
                low = stored.last + 1
        return found

    async def entries(
        self, after: int, through: int, head: StoredCommit, bytes_max: int = 2**63, behind: int = 0
    ) -> list[tuple[int, LogEntry]]:
        """Return entries behind a log position, with their positions: through another one, or about so many bytes.

        Args:
            after: the position.
            through: the last position that is wanted.
            head: what lies behind it is not looked at.
            bytes_max: when there are so many bytes, no further commit is looked at.
            behind: the message behind which they begin, if that is known; 0: it is searched for.
        """
        found: list[tuple[int, LogEntry]] = []
        byte_count, commits = 0, await self.following(behind) if behind else []
        if not commits:
            stored = await self.first_that(lambda commit: commit.fields.position > after, head)
            commits = [] if stored is None else [stored]
        while commits:
            for each in commits:
                for placed in each.commit.placed_entries:
                    if after < placed[0] <= through:
                        found.append(placed)
                        byte_count += len(placed[1].body)
                if each.commit.fields.position >= through or each.last >= head.last or byte_count >= bytes_max:
                    return found
            commits = await self.following(commits[-1].last)
        return found

    async def before(self, stored: StoredCommit) -> StoredCommit:
        """Return the commit before one."""
        number = stored.commit.number - 1
        found = await self.first_that(lambda commit: commit.number >= number, stored)
        return found if found is not None and found.commit.number == number else NOTHING_STORED

    async def purge(self, before: int) -> None:
        """Remove messages without events below a sequence number."""
        question = {"filter": self._subjects.log_of_others, "seq": before}
        connection = self._publisher.connection
        subject = f"$JS.API.STREAM.PURGE.{log_of(connection.address.name)}"
        answer = await asked_of_jetstream(connection, subject, question, _decode_purged)
        if answer.error is not None:
            raise refusal(answer.error, connection.address.shown, doing="to forget operations")

    async def _from(self, sequence: int) -> StoredCommit | None:
        """Return the first commit of which a message has a sequence number or a higher one."""
        raw = await self._log.next(self._subjects.log, sequence)
        return None if raw is None else await self._whole(raw)

    async def _whole(self, raw: Raw) -> StoredCommit:
        """Return the commit that a message belongs to."""
        part = part_of(raw.sequence, raw.data)
        if part.parts == 1:
            return _stored([raw])
        messages: list[Raw] = []
        first = raw.sequence - part.part
        while len(messages) < part.parts:
            more, _ = await self._log.read(self._subjects.log, first + len(messages), part.parts - len(messages))
            if not more:
                raise CorruptJournalError(f"commit {part.commit} of the replica's log is not whole")
            messages += more
        return _stored(messages)


def _stored(messages: Sequence[Raw]) -> StoredCommit:
    commit = joined([part_of(raw.sequence, raw.data) for raw in messages])
    return StoredCommit(messages[0].sequence, messages[-1].sequence, commit)
