"""`Journal`: where the streams of one place are kept, and the front door of `calliope`."""

import os
from collections.abc import Awaitable, Callable, Collection
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, TypeGuard, TypeVar, cast, overload

import anyio
import anyio.to_thread
from typing_extensions import TypeForm

from calliope.codec import EventCodec, stored_names
from calliope.errors import JournalClosedError
from calliope.event_stream import EventStream, MicrosecondClock, system_clock
from calliope.flow import Source
from calliope.known_types import KnownTypes
from calliope.limits import STREAM_ID_BYTES_MAX, TYPE_NAME_BYTES_MAX, TYPES_MAX, checked_text
from calliope.persisting import checked_tags
from calliope.reading import RecordDecoder, StreamsInlet, live_source, recorded_event_decoder, stored_source
from calliope.recorded_event import RecordedEvent
from calliope.replicated_stream import ReplicatedEventStream
from calliope.snapshots import SnapshotStore
from calliope.stores.memory import MemoryStore
from calliope.stores.protocol import EventStore, StreamSummary
from calliope.stores.record import Selection
from calliope.stores.replica_store import ReplicaStore
from calliope.stores.sqlite import Durability, SqliteStore

E = TypeVar("E")

POSTGRES_SCHEMES = ("postgresql://", "postgres://")

NATS_SCHEME = "nats://"

KNOWN_URLS = "a path, sqlite:///path, memory://, postgresql://host/database or nats://host/journal"


class Journal:
    """Keeps event streams and snapshots. Open one with `Journal.open`, as an async context manager.

    Any number of tasks of one event loop may use it. Leaving the block finishes what was accepted, ends live queries
    with `JournalClosedError` and releases the files.

    Args:
        open_store: opens the store; `Journal.open` gives one for a URL.
        clock: the time that events are stamped with.
    """

    def __init__(self, open_store: Callable[[], Awaitable[EventStore]], clock: MicrosecondClock = system_clock) -> None:
        self._open_store = open_store
        self._clock = clock
        self._entered = False
        self._opened: EventStore | None = None
        self._codecs: dict[Any, EventCodec[Any]] = {}
        self._known = KnownTypes(self._codecs)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        clock: MicrosecondClock = system_clock,
    ) -> Self:
        """Return the journal at a URL, to be entered with `async with`.

        Args:
            url: the path of a file, `sqlite:///path`, `memory://`, `postgresql://…` (with the extra `postgres`: any
                URL of libpq's, and among its parameters the `schema` of the tables, how many `readers` there are, a
                `timeout` and a `statement_timeout` in seconds), or `nats://host:4222,host2:4222/name` (with the extra
                `nats`: a journal in JetStream, with `replicas` and the seconds of a `timeout` among its parameters).
                What does not exist is made.
            durability: "full": an acknowledged event survives a power cut. "relaxed": it survives a killed process,
                and a power cut may lose the last of them; faster where the disk is slow to sync. A NATS server decides
                by its own settings how often it syncs.
            clock: returns the time that events are stamped with, in microseconds since 1970 UTC.

        Raises:
            ValueError: the URL is of no known kind, or the durability is not one of the two.

        Entering raises `JournalFormatError` for a path that is no journal and `CorruptJournalError` for a damaged one.
        """
        if durability not in ("full", "relaxed"):
            raise ValueError(f"durability must be 'full' or 'relaxed', not {durability!r}")
        if is_on_server(url):
            return cls(_opener_on_server(url, durability), clock)
        path = path_of(url)
        if path is None:
            return cls(_open_memory, clock)
        return cls(lambda: SqliteStore.open(path, durability=durability), clock)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise JournalClosedError("a journal is entered once; open it anew")
        self._entered = True
        try:
            self._opened = await self._open_store()
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._store.aclose()

    @property
    def snapshots(self) -> SnapshotStore:
        """The saved states."""
        return SnapshotStore(self._store, self._clock)

    @property
    def store(self) -> EventStore:
        """What keeps it all, for tools and for replication."""
        return self._store

    @property
    def id(self) -> str:
        """Names this journal among all others, for ever."""
        return self._store.journal_id

    def event_stream(self, stream_id: str, event_type: TypeForm[E]) -> EventStream[E]:
        """Return a handle on a stream; a stream comes to be with its first event.

        Args:
            stream_id: 1 to 512 bytes in UTF-8, without NUL.
            event_type: the class of its events, or a union of classes: dataclasses, msgspec.Struct, attrs classes,
                pydantic models. A class stands for its subclasses too. `UntypedEvent` reads and writes plain data.

        Raises:
            TypeError, ValueError: the id or the type is not legal.
        """
        return EventStream(self._store, stream_id, self._codec(event_type), self._clock)

    def replicated_event_stream(
        self, stream_id: str, event_type: TypeForm[E], *, replica_id: str
    ) -> ReplicatedEventStream[E]:
        """Return a handle on a stream that several replicas write to at once, in this journal or in several.

        A handle that is made anew carries on the numbering of its replica id.

        Args:
            stream_id: 1 to 512 bytes in UTF-8, without NUL.
            event_type: as for `event_stream`.
            replica_id: who writes; 1 to 255 bytes in UTF-8, without NUL and "~". Each live handle on a stream has one
                of its own, among all journals.

        Raises:
            TypeError, ValueError: an id or the type is not legal, or the store keeps no replicated streams.
        """
        store = self._store
        if not isinstance(store, ReplicaStore):
            raise TypeError(f"a {type(store).__name__} keeps no replicated streams")
        return ReplicatedEventStream(store, stream_id, self._codec(event_type), self._clock, replica_id)

    @overload
    def records(
        self,
        after: int = 0,
        *,
        until: int | None = None,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
        event_type: TypeForm[E],
    ) -> Source[RecordedEvent[E]]: ...
    @overload
    def records(
        self,
        after: int = 0,
        *,
        until: int | None = None,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
    ) -> Source[RecordedEvent[Any]]: ...
    def records(
        self,
        after: int = 0,
        *,
        until: int | None = None,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
        event_type: Any = None,
    ) -> Source[RecordedEvent[Any]]:
        """Yield the records of all streams that are stored when it runs, in the order of their positions, then end.

        Args:
            after: the position to begin after.
            until: the last position to yield.
            tags: only records with all of these tags.
            types: only records of one of these types: stored names, or classes, which stand for their subclasses and
                former names too.
            prefix: only of streams whose ids begin so.
            event_type: the class, or union of classes, that events are decoded to. If not given, those that this
                journal was used with and those decorated with `@event` are known.

        The source raises `UnknownEventTypeError` for an event of no known class, and never skips it.
        """
        selection = _selection(tags, types, prefix)
        return stored_source(self._store, selection, after, until, self._decoder(event_type))

    @overload
    def live_records(
        self,
        after: int = 0,
        *,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
        event_type: TypeForm[E],
    ) -> Source[RecordedEvent[E]]: ...
    @overload
    def live_records(
        self,
        after: int = 0,
        *,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
    ) -> Source[RecordedEvent[Any]]: ...
    def live_records(
        self,
        after: int = 0,
        *,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
        event_type: Any = None,
    ) -> Source[RecordedEvent[Any]]:
        """Yield what `records` yields, then new records as they are committed, for ever."""
        return live_source(self._store, _selection(tags, types, prefix), after, self._decoder(event_type))

    def streams(self, prefix: str = "", after: str = "") -> Source[StreamSummary]:
        """Yield a summary of every stream whose id begins with a prefix, in the order of the ids.

        Args:
            prefix: how they begin.
            after: the id to begin after, whether there is such a stream or not.
        """
        for name, text in (("prefix", prefix), ("after", after)):
            if text:
                checked_text(name, text, STREAM_ID_BYTES_MAX)
        store = self._store
        return Source.from_inlet(lambda: StreamsInlet(store, prefix, after))

    def _codec(self, event_type: Any) -> EventCodec[Any]:
        codec = self._codecs.get(event_type)
        if codec is None:
            codec = self._codecs[event_type] = EventCodec(event_type)
        return codec

    def _decoder(self, event_type: Any) -> RecordDecoder[RecordedEvent[Any]]:
        codec = self._known if event_type is None else self._codec(event_type)
        return recorded_event_decoder(codec, self._store.journal_id)

    @property
    def _store(self) -> EventStore:
        if self._opened is None:
            raise JournalClosedError("the journal is not open: use `async with Journal.open(…) as journal`")
        return self._opened


def _extra(module: str, extra: str) -> ModuleType:
    """Return a module that needs an extra of this distribution."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'calliope-streams[{extra}]'", name=error.name
        ) from error


async def _open_memory() -> EventStore:
    return MemoryStore()


def is_on_server(url: str | os.PathLike[str]) -> TypeGuard[str]:
    """Tell whether a journal is kept by a server."""
    return isinstance(url, str) and url.startswith((*POSTGRES_SCHEMES, NATS_SCHEME))


async def is_there(url: str | os.PathLike[str]) -> bool:
    """Tell whether there is a journal at a URL, or something else in its place; makes none.

    Raises:
        ValueError: the URL is of no known kind.
        StorageError, JournalFormatError: its server cannot be asked.
    """
    if not is_on_server(url):
        path = path_of(url)
        return path is None or path.exists()
    if url.startswith(NATS_SCHEME):
        return cast(bool, await _extra("calliope.stores.nats_existing", "nats").is_there(url))
    return await anyio.to_thread.run_sync(_extra("calliope.stores.postgres_existing", "postgres").is_there, url)


def _opener_on_server(url: str, durability: Durability) -> Callable[[], Awaitable[EventStore]]:
    """Return what opens the store of a server; what is wrong with the URL is said now."""
    if url.startswith(NATS_SCHEME):
        nats = _extra("calliope.stores.nats", "nats")
        nats.NatsAddress.parse(url)
        return lambda: cast(Awaitable[EventStore], nats.NatsStore.open(url))
    postgres = _extra("calliope.stores.postgres", "postgres")
    postgres.PostgresAddress.parse(url)
    return lambda: cast(Awaitable[EventStore], postgres.PostgresStore.open(url, durable=durability == "full"))


def path_of(url: str | os.PathLike[str]) -> Path | None:
    """Return the file of a journal; None: it is kept in memory, or on a server."""
    text = os.fspath(url)
    if not isinstance(text, str):
        raise TypeError(f"a journal's URL must be a str or a path, not {url!r}")
    if text == "memory://" or is_on_server(url):
        return None
    if isinstance(url, str):
        text = _path_in(url)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} names no file: it contains lone surrogates") from None
    if not text or "\0" in text:
        raise ValueError(f"{text!r} names no file")
    return Path(text).absolute()  # connections are opened later too, when the working directory may be another


def _path_in(url: str) -> str:
    """Return the path in `sqlite:///path`, or a plain path as it is."""
    scheme, colon, rest = url.partition(":")
    if not colon or (scheme and scheme not in _SCHEMES and not rest.startswith("//")):
        return url
    if scheme != "sqlite":
        raise ValueError(f"{url!r} is no journal that is known here: give {KNOWN_URLS}")
    if not rest.startswith("///"):
        raise ValueError(f"{url!r} must have three slashes before a relative path, four before an absolute one")
    return rest.removeprefix("///")


_SCHEMES = ("memory", "sqlite", "file", "postgres", "postgresql", "nats")
"""What begins like this is taken for a URL, also when its slashes are missing."""


def _selection(tags: str | Collection[str], types: str | type | Collection[str | type], prefix: str) -> Selection:
    if prefix:
        checked_text("prefix", prefix, STREAM_ID_BYTES_MAX)
    several = (types,) if isinstance(types, (str, type)) or not isinstance(types, Collection) else types
    names = {name for type_ in several for name in ((type_,) if isinstance(type_, str) else stored_names(type_))}
    if len(names) > TYPES_MAX:
        raise ValueError(f"at most {TYPES_MAX} types can be chosen among, not {len(names)}")
    return Selection(
        prefix=prefix,
        types=frozenset([checked_text("type", name, TYPE_NAME_BYTES_MAX) for name in names]),
        tags=frozenset(checked_tags(tags)),
    )
