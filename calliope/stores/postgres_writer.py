"""The thread side of writing to PostgreSQL: one connection, one transaction a batch, two round trips.

1. Lock the journal's row, and learn where the journal ends and what is not remembered of the batch's streams and ids.
2. Insert all rows, each table by one statement, move the journal's end, notify those who listen, and commit.

Several processes write to one journal. If it does not end where this one left it, another wrote, and what is
remembered about streams is read anew. A request is checked before any of it is staged, so one that fails costs the
others of its batch nothing.

A connection may be lost in the middle of a commit, and then it is unknown whether the server committed. So each batch
has a number that is stored with it: over a new connection, which waits for the journal's lock and thereby for whatever
the lost one still does there, the number says what happened. A batch that was not committed is sent again. Only if the
server cannot be reached for `PATIENCE_SECONDS` the callers learn that the outcome is unknown.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, cast

import psycopg

from calliope.errors import CalliopeError, CorruptJournalError, CorruptRecordError, StorageError
from calliope.stores.commit_lane import Pending
from calliope.stores.event_rows import KnownType, checksum_seed, row_of, rows_of
from calliope.stores.placing import check_may_follow, placed
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_errors import is_lost, translated
from calliope.stores.postgres_reader import HEAD_OF_STREAM, Connection, PostgresReader
from calliope.stores.postgres_staged import Advance, Staged
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord, StoredType, position_of_minted_id

STREAMS_REMEMBERED_MAX = 65_536
"""How many streams' heads are remembered; the oldest are forgotten first."""

FOREIGN_RECORDS_MAX = 1_024
"""How many records of other processes are read into the tail at once; beyond that readers read pages."""

PATIENCE_SECONDS = 15.0
"""How long a server that is gone is waited for before callers are told."""

RETRY_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""The pauses between attempts to connect; the last one repeats."""

Write = Callable[[Connection], object]
"""Any other write that shares the lane, such as saving a snapshot; doing it twice does no harm."""

Request = AppendRequest | Write

Requests = Sequence[Pending[Request, object]]

_LOCK_JOURNAL = "SELECT head, streams, types FROM journal FOR UPDATE"
_STREAMS = f"SELECT stream_id, id, kind, {HEAD_OF_STREAM} FROM stream WHERE stream_id = ANY (%s::text[])"
_KEYS = (
    "SELECT stream.stream_id, event_id, position, event_count"
    " FROM unnest(%s::text[], %s::text[]) AS asked (stream_id, id)"
    " JOIN stream ON stream.stream_id = asked.stream_id AND stream.kind = 'plain'"
    " JOIN event_key ON event_key.stream = stream.id AND event_key.event_id = asked.id"
)
_TYPES = "SELECT name, schema_version, id FROM event_type"
_BATCH = "SELECT batch FROM writer WHERE writer_id = %s"
_NOTE_BATCH = (
    "INSERT INTO writer VALUES (%s, %s, now())"
    " ON CONFLICT (writer_id) DO UPDATE SET batch = excluded.batch, committed = excluded.committed"
)
_FORGET_WRITERS = "DELETE FROM writer WHERE writer_id = %s OR committed < now() - interval '7 days'"
_MOVE_END = "UPDATE journal SET head = %s, streams = %s, types = %s"


@dataclass(slots=True)
class _Stream:
    """What the writer remembers of a stream; number 0: it has no row yet."""

    number: int
    kind: StreamKind
    sequence_number: int
    types: dict[StoredType, KnownType] = field(default_factory=dict)


class PostgresWriter:
    """Commits batches of requests. Every method but `give_up` runs on the commit lane's thread.

    Args:
        address: where the journal is.
        journal_id: its id.
        connection: a first connection.

    Attributes:
        writer_id: names this writer among all that have the journal open.
        head: the highest position that this writer knows of.
    """

    def __init__(self, address: PostgresAddress, journal_id: str, connection: Connection) -> None:
        self.writer_id = secrets.token_hex(8)
        self._address = address
        self._journal_id = journal_id
        self._connection: Connection | None = connection
        self._reader = PostgresReader(connection)
        self.head = self._reader.head()
        self._batch = 0
        self._types: dict[StoredType, int] = {}
        self._streams: dict[str, _Stream] = {}
        self._closing = False

    def give_up(self) -> None:
        """Wait no longer than one attempt for a server that is gone: the journal is being closed."""
        self._closing = True

    def commit(self, batch: Requests) -> Advance:
        """Commit a batch in one transaction; set each request's reply or error.

        Returns:
            What readers may see now. After an error nothing is new.
        """
        known_head, self._batch = self.head, self._batch + 1
        in_doubt: Staged | None = None
        give_up_at, pauses = time.monotonic() + PATIENCE_SECONDS, iter(RETRY_SECONDS)
        while True:
            try:
                connection = self._connected()
                if in_doubt is not None and self._was_committed(connection):
                    self.head = in_doubt.head
                    return in_doubt.advance
                in_doubt = None
                staged = self._prepared(connection, batch, known_head)
                in_doubt = staged
                self._finish(connection, staged)
            except Exception as error:
                lost = is_lost(error)
                self._undo(known_head, lost=lost)
                if lost and time.monotonic() < give_up_at and not self._closing:
                    time.sleep(next(pauses, RETRY_SECONDS[-1]))
                    continue
                self._fail(batch, error, in_doubt=lost and in_doubt is not None)
                return Advance([])
            else:
                return staged.advance

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.execute(_FORGET_WRITERS, (self.writer_id,))
            self._connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._address.connect()
            self._reader = PostgresReader(self._connection)
        return self._connection

    def _was_committed(self, connection: Connection) -> bool:
        """Tell whether the server committed this batch, once the lost connection can do nothing any more."""
        with connection.transaction():
            connection.execute(_LOCK_JOURNAL)
            row = connection.execute(_BATCH, (self.writer_id,)).fetchone()
        return row == (self._batch,)

    def _undo(self, known_head: int, *, lost: bool) -> None:
        self.head = known_head
        self._streams = {}
        self._types = {}
        if self._connection is None:
            return
        if not lost:
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
                return
        self._connection.close()
        self._connection = None

    def _fail(self, batch: Requests, error: Exception, *, in_doubt: bool) -> None:
        for pending in batch:
            pending.reply = None
            pending.error = translated(error, self._address.shown)
            if in_doubt:
                pending.error = StorageError(
                    f"{self._address.shown} was lost during a commit ({error}); of what was being written it is unknown"
                    " whether it was written, and the same event id may be sent again"
                )

    def _prepared(self, connection: Connection, batch: Requests, known_head: int) -> Staged:
        """Begin a transaction, take the journal's lock, and stage what may be written."""
        self._forget_oldest()
        appends = [pending.request for pending in batch if isinstance(pending.request, AppendRequest)]
        unknown = {request.stream_id for request in appends if request.stream_id not in self._streams}
        named = {(request.stream_id, request.event_id) for request in appends if request.event_id is not None}
        with connection.pipeline():
            connection.execute("BEGIN")
            end = connection.execute(_LOCK_JOURNAL)
            streams = connection.execute(_STREAMS, (list(unknown),)) if unknown else None
            keys = connection.execute(_KEYS, tuple(map(list, zip(*named, strict=True)))) if named else None
        head, stream_count, type_count = cast(tuple[int, int, int], end.fetchone())
        staged = Staged(self._catch_up(head, known_head), stream_count, type_count)
        if head != self.head:  # others wrote: only what was read under the lock is true
            self.head, self._streams = head, {}
            others = list({request.stream_id for request in appends} - unknown)
            self._learn(connection.execute(_STREAMS, (others,)).fetchall())
        if streams is not None:
            self._learn(streams.fetchall())
        if keys is not None:
            staged.keys = {(row[0], row[1]): (row[2], row[3]) for row in cast(list[tuple[Any, ...]], keys.fetchall())}
        for pending in batch:
            self._stage(connection, pending, staged)
        staged.advance.records += staged.records
        staged.head = self.head
        return staged

    def _finish(self, connection: Connection, staged: Staged) -> None:
        """Write what was staged, and commit."""
        with connection.pipeline():
            staged.insert(connection)
            if staged.records:
                connection.execute(_MOVE_END, (self.head, staged.stream_count, staged.type_count))
                connection.execute("SELECT pg_notify(%s, %s)", (self._address.channel, f"{self.writer_id} {self.head}"))
            connection.execute(_NOTE_BATCH, (self.writer_id, self._batch))
            connection.execute("COMMIT")

    def _catch_up(self, head: int, known_head: int) -> Advance:
        """Return what others wrote since; too much of it is left to those who read."""
        if head < known_head:
            raise CorruptJournalError(f"position {known_head} was acknowledged, but the journal ends at {head}")
        if head - known_head > FOREIGN_RECORDS_MAX:
            return Advance([], jumped_to=head)
        records: list[StoredRecord] = []
        try:
            while known_head + len(records) < head:
                records += self._reader.log(known_head + len(records), head - known_head - len(records))
        except CorruptRecordError:
            return Advance([], jumped_to=head)  # those who read meet the damage
        return Advance(records)

    def _learn(self, rows: Sequence[tuple[object, ...]]) -> None:
        for stream_id, number, kind, sequence_number in cast(list[tuple[str, int, StreamKind, int]], rows):
            if kind == "plain" or stream_id not in self._streams:
                self._streams[stream_id] = _Stream(number, kind, sequence_number)

    def _forget_oldest(self) -> None:
        """Keep memory bounded; only between transactions, when all that is remembered is in the tables too."""
        if len(self._streams) > STREAMS_REMEMBERED_MAX:
            self._streams = dict(islice(self._streams.items(), STREAMS_REMEMBERED_MAX // 2, None))

    def _stage(self, connection: Connection, pending: Pending[Request, object], staged: Staged) -> None:
        request = pending.request
        pending.error = None
        try:
            if isinstance(request, AppendRequest):
                pending.reply = self._staged_append(connection, request, staged)
            else:
                with connection.transaction():  # a savepoint: if it fails, the others of the batch do not
                    pending.reply = request(connection)
        except (CalliopeError, ValueError) as error:
            pending.error = error

    def _staged_append(self, connection: Connection, request: AppendRequest, staged: Staged) -> list[StoredRecord]:
        stream = self._streams.get(request.stream_id) or _Stream(0, request.kind, 0)
        if request.event_id is not None and stream.number and stream.kind == request.kind == "plain":
            earlier = self._written_before(request, request.event_id, staged)
            if earlier is not None:
                return earlier
        check_may_follow(request, stream.kind, stream.sequence_number)
        if request.kind != "plain":
            raise ValueError("what is written to a replicated stream must say who writes it; this store keeps none")
        if stream.number == 0:
            stream.number = staged.new_stream(request.stream_id, stream.kind)
            self._streams[request.stream_id] = stream
        records = placed(request, self.head, stream.sequence_number)
        if len(records) == 1:
            (record,) = records
            known = self._known(connection, record.type, request=request, stream=stream, staged=staged)
            staged.add(row_of(record, stream.number, known), record.attributes.tags)
        else:
            known_type = partial(self._known, connection, request=request, stream=stream, staged=staged)
            for row, tags in rows_of(records, stream.number, known_type):
                staged.add(row, tags)
        self.head, stream.sequence_number = records[-1].position, records[-1].sequence_number
        staged.records += records
        if request.event_id is not None:
            staged.named[request.stream_id, request.event_id] = stream.number, records
        return records

    def _known(
        self,
        connection: Connection,
        stored_type: StoredType,
        *,
        request: AppendRequest,
        stream: _Stream,
        staged: Staged,
    ) -> KnownType:
        known = stream.types.get(stored_type)
        if known is None:
            number = self._types.get(stored_type)
            if number is None:
                rows = cast(list[tuple[str, int, int]], connection.execute(_TYPES).fetchall())
                self._types |= {StoredType(name, version): number for name, version, number in rows}
                number = self._types.get(stored_type) or staged.new_type(stored_type)
                self._types[stored_type] = number
            known = stream.types[stored_type] = number, checksum_seed(request.stream_id, stored_type)
        return known

    def _written_before(self, request: AppendRequest, event_id: str, staged: Staged) -> list[StoredRecord] | None:
        """Return the records of the first time a request was written, or None if it is new."""
        key = request.stream_id, event_id
        if key in staged.named:
            return staged.named[key][1]
        if key in staged.keys:
            position, count = staged.keys[key]
            records: list[StoredRecord] = []
            while len(records) < count:
                records += self._reader.log(position - 1 + len(records), count - len(records))
            return records
        minted = position_of_minted_id(event_id, self._journal_id)
        if minted is None or minted > self.head - len(staged.records):
            return None
        (record,) = self._reader.log(minted - 1, 1)
        found = record.stream_id, record.kind, record.attributes.event_id
        return [record] if found == (request.stream_id, "plain", None) else None
