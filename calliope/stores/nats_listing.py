"""`NatsListing`: which streams and snapshots there are, in the order of their ids.

JetStream tells all subjects that a filter lets pass. So a page asks for the smallest neighbourhood of the id after
which it begins, those that share all but their last token, and then for larger and larger ones, until it is full.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable

from calliope.stores.nats_connection import NatsConnection
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_streams import notes_of, subjects_of
from calliope.stores.nats_subjects import TOKEN_CHARACTERS, IdSubjects, NatsSubjects
from calliope.stores.protocol import StreamSummary
from calliope.stores.record import StreamKind

KINDS: tuple[StreamKind, ...] = ("plain", "replicated")

TOGETHER_MAX = 64
"""How many streams' ends are looked up at once."""


class NatsListing:
    """Lists streams and ids of snapshots. Used in the store's thread.

    Args:
        connection: who is asked.
        log: the events.
        subjects: their subjects.
    """

    def __init__(self, connection: NatsConnection, log: NatsLog, subjects: NatsSubjects) -> None:
        self._connection = connection
        self._log = log
        self._subjects = subjects

    async def streams(self, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams; see `EventStore.streams`."""
        name = self._connection.address.name
        stream_ids = await self.ids(name, self._subjects.streams, self._stream_id, prefix, after, limit)
        found: list[StreamSummary] = []
        for start in range(0, len(stream_ids), TOGETHER_MAX):
            together = stream_ids[start : start + TOGETHER_MAX]
            wanted = [self._summary(stream_id, kind) for stream_id in together for kind in KINDS]
            for outcome in await asyncio.gather(*wanted, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                found += outcome
        return found

    async def snapshot_ids(self, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots; see `EventStore.snapshot_ids`."""
        name = notes_of(self._connection.address.name)
        return await self.ids(name, self._subjects.snapshots, self._snapshot_id, "", after, limit)

    async def ids(
        self,
        name: str,
        family: IdSubjects,
        id_in: Callable[[str], str | None],
        prefix: str,
        after: str,
        limit: int,
    ) -> list[str]:
        """Return ids that subjects of a JetStream stream are made of: with a prefix, after one, in order."""
        near = after if after.startswith(prefix) else prefix
        while True:
            subject = family.beginning_with(near)
            subjects = await subjects_of(self._connection, name, subject)
            ids = sorted({each for each in map(id_in, subjects) if each is not None and each.startswith(prefix)})
            following = ids[bisect_right(ids, after) :]
            if len(following) >= limit or subject == family.beginning_with(prefix):
                return following[:limit]
            near = near[: max((len(near) - 1) // TOKEN_CHARACTERS * TOKEN_CHARACTERS, len(prefix))]

    def _snapshot_id(self, subject: str) -> str | None:
        found = self._subjects.snapshot_in(subject)
        return None if found is None else found[0]

    def _stream_id(self, subject: str) -> str:
        return self._subjects.stream_in(subject)[0]

    async def _summary(self, stream_id: str, kind: StreamKind) -> list[StreamSummary]:
        raw = await self._log.last(self._subjects.of_stream(stream_id, kind))
        return [] if raw is None else [StreamSummary(stream_id, kind, raw.checked().body.last)]
