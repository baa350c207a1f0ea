"""`PostgresStreams`: what a writer remembers of streams and types, and how events come to stand in them.

What is remembered is true only while nobody else writes; the writer forgets it when somebody has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import cast

from calliope.stores.event_rows import KnownType, checksum_seed, row_of, rows_of
from calliope.stores.placing import check_may_follow, placed
from calliope.stores.postgres_log_reader import STREAM_VERSIONS, stream_versions
from calliope.stores.postgres_reader import HEAD_OF_STREAM, Connection, PostgresReader
from calliope.stores.postgres_staged import Staged
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord, StoredType, position_of_minted_id
from calliope.stores.stream_versions import StreamVersions

STREAMS_REMEMBERED_MAX = 65_536
"""How many streams' heads are remembered; the oldest are forgotten first."""

STREAMS = f"SELECT stream_id, id, kind, {HEAD_OF_STREAM} FROM stream WHERE stream_id = ANY (%s::text[])"
"""The streams of some ids: see `PostgresStreams.learn`."""

_TYPES = "SELECT name, schema_version, id FROM event_type"


@dataclass(slots=True)
class Stream:
    """What is remembered of a stream; number 0: it has no row yet. `versions` are those of a replicated one."""

    number: int
    kind: StreamKind
    sequence_number: int
    types: dict[StoredType, KnownType] = field(default_factory=dict)
    versions: StreamVersions | None = None


class PostgresStreams:
    """The streams as a writer sees them while it holds the journal's lock.

    Args:
        journal_id: the journal's id.
        reader: reads on the writer's connection.
        head: the highest position.

    Attributes:
        head: the highest position, staged ones included.
    """

    def __init__(self, journal_id: str, reader: PostgresReader, head: int) -> None:
        self.head = head
        self._journal_id = journal_id
        self._reader = reader
        self._types: dict[StoredType, int] = {}
        self._streams: dict[str, list[Stream]] = {}

    def use(self, reader: PostgresReader) -> None:
        """Read on another connection."""
        self._reader = reader

    # What is remembered.

    def forget(self) -> None:
        """Remember nothing, of types neither: what was given a number may have been rolled back."""
        self._streams = {}
        self._types = {}

    def forget_streams(self) -> None:
        """Remember no stream: others wrote."""
        self._streams = {}

    def forget_oldest(self) -> None:
        """Keep memory bounded; only between transactions, when all that is remembered is in the tables too."""
        if len(self._streams) > STREAMS_REMEMBERED_MAX:
            self._streams = dict(islice(self._streams.items(), STREAMS_REMEMBERED_MAX // 2, None))

    def unknown(self, stream_ids: Iterable[str]) -> list[str]:
        """Return the ids of which nothing is remembered."""
        return [stream_id for stream_id in set(stream_ids) if stream_id not in self._streams]

    def remember(self, stream_ids: Iterable[str]) -> bool:
        """Tell whether all of these are remembered."""
        return self._streams.keys() >= set(stream_ids)

    def without_versions(self, stream_ids: Iterable[str]) -> list[str]:
        """Return the ids of replicated streams, or of unknown ones, of whose writers nothing is remembered."""
        return [
            stream_id
            for stream_id in set(stream_ids)
            if stream_id not in self._streams or self.stream(stream_id, "replicated").versions is None
        ]

    def learn(self, streams: Sequence[tuple[object, ...]], versions: Sequence[tuple[object, ...]]) -> None:
        """Remember streams, as `STREAMS` and `STREAM_VERSIONS` find them."""
        for stream_id, number, kind, sequence_number in cast(list[tuple[str, int, StreamKind, int]], streams):
            self._streams.setdefault(stream_id, []).append(Stream(number, kind, sequence_number))
        for stream_id, found in stream_versions(versions).items():
            self.stream(stream_id, "replicated").versions = found

    def read(self, connection: Connection, stream_ids: Sequence[str], replicated: Sequence[str]) -> None:
        """Ask for streams, and for the writers of those that are replicated, and remember them."""
        if stream_ids:
            with connection.pipeline():
                streams = connection.execute(STREAMS.encode(), (list(stream_ids),))
                versions = connection.cursor(binary=True).execute(STREAM_VERSIONS.encode(), (list(replicated),))
            self.learn(streams.fetchall(), versions.fetchall())

    # What a transaction asks for; see `StreamTables`.

    def stream(self, stream_id: str, kind: StreamKind) -> Stream:
        """Return a stream of a kind; if there is none, the one of the other kind, or a new one."""
        streams = self._streams.get(stream_id, ())
        if streams and streams[0].kind == kind:
            return streams[0]
        for stream in streams:
            if stream.kind == kind:
                return stream
        return streams[0] if streams else self.new_stream(kind)

    def new_stream(self, kind: StreamKind) -> Stream:
        """Return a stream that is not there yet."""
        return Stream(0, kind, 0, versions=StreamVersions())

    def versions(self, stream: Stream) -> StreamVersions:
        """Return how far the writers of a stream have come."""
        if stream.versions is None:
            raise LookupError(f"nobody asked how far the writers of stream {stream.number} have come")
        return stream.versions

    def named(self, event_id: str, stream: Stream, staged: Staged) -> list[StoredRecord] | None:
        """Return the records of the request that an event id names in a stream, or None."""
        key = stream.number, event_id
        if key in staged.named:
            return staged.named[key]
        if key not in staged.keys:
            return None
        position, count = staged.keys[key]
        records: list[StoredRecord] = []
        while len(records) < count:
            records += self._reader.log(position - 1 + len(records), count - len(records))
        return records

    def stored_records(self, stream_id: str, after: int, limit: int) -> Sequence[StoredRecord]:
        """Return stored records of a replicated stream."""
        return self._reader.stream_page(stream_id, after, limit, "replicated").records

    def stage_append(self, request: AppendRequest, staged: Staged) -> list[StoredRecord]:
        """Check a request for a plain stream, and stage its rows if it may be written."""
        stream = self.stream(request.stream_id, request.kind)
        if request.event_id is not None and stream.number and stream.kind == request.kind == "plain":
            earlier = self._written_before(request, request.event_id, stream, staged)
            if earlier is not None:
                return earlier
        if request.expected_version is not None or stream.kind != request.kind:
            check_may_follow(request, stream.kind, stream.sequence_number)
        if request.kind != "plain":
            raise ValueError("what is written to a replicated stream must say who writes it: use append_replicated")
        records = self.stage_events(request, stream, staged)
        if request.event_id is not None:
            staged.named[stream.number, request.event_id] = records
        return records

    def stage_events(self, request: AppendRequest, stream: Stream, staged: Staged) -> list[StoredRecord]:
        """Give events their places, and stage the rows that keep them, and the stream's if it is new."""
        if stream.number == 0:
            stream.number = staged.new_stream(request.stream_id, stream.kind)
            self._streams.setdefault(request.stream_id, []).append(stream)
        records = placed(request, self.head, stream.sequence_number)
        if len(records) == 1:
            (record,) = records
            known = stream.types.get(record.type) or self._known(record.type, record.stream_id, stream, staged)
            staged.add(row_of(record, stream.number, known), record.attributes.tags)
        else:
            known_type = partial(self._known, stream_id=request.stream_id, stream=stream, staged=staged)
            for row, tags in rows_of(records, stream.number, known_type):
                staged.add(row, tags)
        self.head, stream.sequence_number = records[-1].position, records[-1].sequence_number
        staged.records += records
        return records

    def _known(self, stored_type: StoredType, stream_id: str, stream: Stream, staged: Staged) -> KnownType:
        known = stream.types.get(stored_type)
        if known is None:
            number = self._types.get(stored_type)
            if number is None:
                rows = self._reader.connection.execute(_TYPES).fetchall()
                self._types |= {StoredType(row[0], row[1]): row[2] for row in cast(list[tuple[str, int, int]], rows)}
                number = self._types.get(stored_type) or staged.new_type(stored_type)
                self._types[stored_type] = number
            known = stream.types[stored_type] = number, checksum_seed(stream_id, stored_type)
        return known

    def _written_before(
        self, request: AppendRequest, event_id: str, stream: Stream, staged: Staged
    ) -> list[StoredRecord] | None:
        """Return the records of the first time a request was written, or None if it is new."""
        records = self.named(event_id, stream, staged)
        if records is not None:
            return records
        minted = position_of_minted_id(event_id, self._journal_id)
        if minted is None or minted > self.head - len(staged.records):
            return None
        (record,) = self._reader.log(minted - 1, 1)
        found = record.stream_id, record.kind, record.attributes.event_id
        return [record] if found == (request.stream_id, "plain", None) else None
