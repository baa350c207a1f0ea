"""A journal in memory and one in a file or on a server, side by side, against a model that is a list."""

import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from calliope import (
    ExpectedVersionError,
    Journal,
    JournalClosedError,
    PersistReply,
    RecordedEvent,
    Source,
    StreamSummary,
    event,
)
from tests import nats, postgres

PATIENCE_SECONDS = 20.0


@event("model-added")
@dataclass(frozen=True)
class Added:
    n: int


@event("model-removed", version=2)
@dataclass(frozen=True)
class Removed:
    n: int


Event = Added | Removed
STREAM_IDS = ["a", "a-1", "ü"]
EVENT_IDS = ["id-1", "id-2"]

TYPES: list[tuple[Any, set[str]]] = [
    ((), {"model-added", "model-removed"}),
    (Event, {"model-added", "model-removed"}),
    (Added, {"model-added"}),
    (["model-removed", "never"], {"model-removed"}),
    ("never", set()),
]
"""What is asked for, and the stored names that this stands for."""


@dataclass(frozen=True)
class Request:
    """What is persisted; `version_error` is how far off the expected version is, None: no version is expected."""

    stream_id: str
    events: list[Added | Removed]
    tags: frozenset[str]
    metadata: dict[str, int]
    version_error: int | None
    event_id: str | None


places = st.integers(0, 20)
tags = st.frozensets(st.sampled_from(["red", "big"]))
requests = st.builds(
    Request,
    stream_id=st.sampled_from(STREAM_IDS),
    events=st.lists(st.builds(Added, places) | st.builds(Removed, places), min_size=1, max_size=4),
    tags=tags,
    metadata=st.dictionaries(st.just("tenant"), places),
    version_error=st.sampled_from([None, None, None, 0, 0, 1, -1, 5]),
    event_id=st.none() | st.sampled_from(EVENT_IDS),
)


@dataclass(frozen=True)
class Entry:
    """What the model knows of a record: everything but the time and the ids that a journal mints.

    The position is the place in the log, 1, 2, 3 …; journals may give others, see `Places`.
    """

    position: int
    stream_id: str
    sequence_number: int
    event: Added | Removed
    tags: frozenset[str]
    metadata: dict[str, Any]
    name: str | None


class Places:
    """Which positions a journal gave to the records of the log; without holes, if it promises that."""

    def __init__(self, *, dense: bool) -> None:
        self._dense = dense
        self._positions = [0]
        self._places = {0: 0}

    def add(self, position: int) -> None:
        """Note the position of the next record."""
        assert position > self._positions[-1]
        assert not self._dense or position == len(self._positions)
        self._places[position] = len(self._positions)
        self._positions.append(position)

    def of(self, position: int) -> int:
        """Return the place of a record; -1: no record has that position."""
        return self._places.get(position, -1)

    def position(self, place: int) -> int:
        """Return the position of a record, or one behind all."""
        beyond = place - len(self._positions) + 1
        return self._positions[place] if beyond <= 0 else self._positions[-1] + beyond


def entry_of(record: RecordedEvent[Added | Removed], name: str | None, places: Places) -> Entry:
    """Return what the model would know of a record; the names of others are not compared."""
    return Entry(
        places.of(record.position),
        record.stream_id,
        record.sequence_number,
        record.data,
        record.tags,
        dict(record.metadata),
        None if name is None else record.id,
    )


@dataclass
class LiveReader:
    """Someone who reads live, and what they have seen; begun anew where they were when their journal closes.

    Attributes:
        after: what they begin behind, as the model counts.
        begin: the same, as their journal counts.
    """

    make: Callable[[Journal, int], Source[RecordedEvent[Added | Removed]]]
    wants: Callable[[Entry], bool]
    place_of: Callable[[Entry | RecordedEvent[Any]], int]
    after: int
    begin: int
    seen: list[RecordedEvent[Added | Removed]] = field(default_factory=list)
    task: "Future[None] | None" = None

    async def follow(self, journal: Journal) -> None:
        after = self.place_of(self.seen[-1]) if self.seen else self.begin
        await self.make(journal, after).run_for_each(self.seen.append)


class JournalMachine(RuleBasedStateMachine):
    """Does the same to both journals and compares them with the model.

    Attributes:
        backend: the event loop that the journals are on.
        dense: whether the journal that is not in memory gives positions without holes.
    """

    backend = "asyncio"
    dense = True

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Entry] = []
        self.snapshots: dict[str, dict[int, Added | Removed]] = {}
        self.named: dict[tuple[str, str], tuple[int, int]] = {}
        self.readers: list[tuple[str, LiveReader]] = []
        self.open = ExitStack()
        folder = self.open.enter_context(tempfile.TemporaryDirectory())
        self.url = self.new_url(Path(folder))
        self.portal: BlockingPortal = self.open.enter_context(start_blocking_portal(self.backend))
        self.stacks = {"memory": ExitStack(), "file": ExitStack(), "elsewhere": ExitStack()}
        self.journals: dict[str, Journal] = {}
        kept = Places(dense=self.dense)
        self.places = {"memory": Places(dense=True), "file": kept, "elsewhere": kept}
        self._enter("memory", "memory://")
        self._enter("file", self.url)

    def new_url(self, folder: Path) -> str | Path:
        """Return where a new journal may be."""
        return folder / "journal.db"

    def teardown(self) -> None:
        self.live_readers_have_seen_everything_once()
        for stack in self.stacks.values():
            stack.close()
        self._readers_ended(self.readers)
        self.open.close()

    def _enter(self, name: str, url: str | Path) -> None:
        manager = self.portal.wrap_async_context_manager(Journal.open(url))
        self.journals[name] = self.stacks[name].enter_context(manager)

    def _do(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        return self.portal.call(function, *arguments)

    def _collect(self, make: Callable[[Journal], Source[Any]]) -> dict[str, list[Any]]:
        return {name: self._do(make(journal).run_collect) for name, journal in self.journals.items()}

    def _of_stream(self, stream_id: str) -> list[Entry]:
        return [entry for entry in self.log if entry.stream_id == stream_id]

    # Writing.

    @rule(requests=st.lists(requests, min_size=1, max_size=4))
    def persist(self, requests):
        for request in requests:
            self._persist(request, "file")

    @rule(requests=st.lists(requests, min_size=1, max_size=4))
    def persist_elsewhere(self, requests):
        for request in requests:
            self._persist(request, "elsewhere" if "elsewhere" in self.journals else "file")

    def _persist(self, request: Request, writer: str) -> None:
        version = len(self._of_stream(request.stream_id))
        expected = None if request.version_error is None else max(version + request.version_error, 0)

        async def attempt(journal: Journal) -> PersistReply[Added | Removed] | ExpectedVersionError:
            stream = journal.event_stream(request.stream_id, Event)
            try:
                return await stream.persist(
                    request.events,
                    expected_version=expected,
                    tags=request.tags,
                    metadata=request.metadata,
                    event_id=request.event_id,
                )
            except ExpectedVersionError as error:
                return error

        replies = [self._do(attempt, self.journals[name]) for name in ("memory", writer)]
        first = None if request.event_id is None else self.named.get((request.stream_id, request.event_id))
        if first is None and expected not in (None, version):
            for error in replies:
                assert isinstance(error, ExpectedVersionError)
                assert (error.expected, error.actual, error.stream_id) == (expected, version, request.stream_id)
            return
        if first is None:
            first = (len(self.log), len(request.events))
            self._note(request, version)
            for name, reply in zip(("memory", writer), replies, strict=True):
                assert isinstance(reply, PersistReply)
                for record in reply.records:
                    self.places[name].add(record.position)
        entries = self.log[first[0] : first[0] + first[1]]
        for name, reply in zip(("memory", writer), replies, strict=True):
            assert isinstance(reply, PersistReply)
            assert self._entries_of(name, reply.records, entries) == entries
            last = (self.places[name].of(reply.position), reply.sequence_number)
            assert last == (entries[-1].position, entries[-1].sequence_number)

    def _entries_of(
        self, name: str, records: Sequence[RecordedEvent[Added | Removed]], expected: Sequence[Entry]
    ) -> list[Entry]:
        """Return what the model would know of the records of a journal that should be the expected ones."""
        return [entry_of(r, e.name, self.places[name]) for r, e in zip(records, expected, strict=True)]

    def _note(self, request: Request, version: int) -> None:
        if request.event_id is not None:
            self.named[request.stream_id, request.event_id] = (len(self.log), len(request.events))
        for number, event_ in enumerate(request.events, 1):
            name = request.event_id if number == 1 else None
            place = (len(self.log) + 1, request.stream_id, version + number)
            self.log.append(Entry(*place, event_, request.tags, request.metadata, name))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def persist_a_minted_id_again(self, data):
        entry = data.draw(st.sampled_from(self.log))

        async def again(journal: Journal) -> PersistReply[Added | Removed]:
            stream = journal.event_stream(entry.stream_id, Event)
            (record,) = await stream.records(entry.sequence_number - 1, entry.sequence_number).run_collect()
            return await stream.persist(Added(99), event_id=record.id)

        for name, journal in self.journals.items():
            assert self._entries_of(name, self._do(again, journal).records[:1], [entry]) == [entry]

    # Opening.

    @initialize(requests=st.lists(requests, max_size=4), elsewhere=st.booleans(), following=st.booleans())
    def begin(self, requests, elsewhere, following):
        self.persist(requests)
        if elsewhere:
            self.open_or_close_elsewhere()
        if following:
            self.begin_to_read_live("file", None, None, 0)

    @rule()
    def reopen(self):
        own = [(name, reader) for name, reader in self.readers if name == "file"]
        self.stacks["file"].close()
        self._readers_ended(own)
        self._enter("file", self.url)
        for _, reader in own:
            self._start("file", reader)

    @rule()
    def open_or_close_elsewhere(self):
        """Open the journal a second time, as another process would, or close it there."""
        if "elsewhere" in self.journals:
            del self.journals["elsewhere"]
            self.stacks["elsewhere"].close()
        else:
            self._enter("elsewhere", self.url)

    # Reading.

    @rule(stream_id=st.sampled_from(STREAM_IDS), after=places, until=st.none() | places)
    def query(self, stream_id, after, until):
        expected = [
            entry.event
            for entry in self._of_stream(stream_id)
            if after < entry.sequence_number and (until is None or entry.sequence_number <= until)
        ]
        for found in self._collect(lambda journal: journal.event_stream(stream_id, Event).query(after, until)).values():
            assert found == expected

    @rule(
        after=places,
        until=st.none() | places,
        tags=tags,
        types=st.sampled_from(TYPES),
        prefix=st.sampled_from(["", "a", "a-", "ü", "z"]),
        demand=st.none() | st.integers(1, 5),
    )
    def read_across_streams(self, after, until, tags, types, prefix, demand):
        asked_for, names = types
        expected = [
            entry
            for entry in self.log
            if after < entry.position
            and (until is None or entry.position <= until)
            and tags <= entry.tags
            and type_name(entry) in names
            and entry.stream_id.startswith(prefix)
        ][:demand]
        for name, journal in self.journals.items():
            position = self.places[name].position
            records = journal.records(
                position(after),
                until=None if until is None else position(until),
                tags=tags,
                types=asked_for,
                prefix=prefix,
            )
            assert self._entries_of(name, self._do(_limited(records, demand).run_collect), expected) == expected

    @rule(prefix=st.sampled_from(["", "a", "a-", "ü", "z"]))
    def list_streams(self, prefix):
        ids = sorted({entry.stream_id for entry in self.log if entry.stream_id.startswith(prefix)})
        expected = [StreamSummary(stream_id, "plain", len(self._of_stream(stream_id))) for stream_id in ids]
        for found in self._collect(lambda journal: journal.streams(prefix)).values():
            assert found == expected

    @invariant()
    def journals_that_are_read_anew_hold_the_log(self):
        for journal in (self.journals["memory"], self.journals["file"]):
            assert len(self._do(journal.records().run_collect)) == len(self.log)

    # Reading live.

    @precondition(lambda self: len(self.readers) < 8)
    @rule(
        name=st.sampled_from(["memory", "file"]),
        stream_id=st.none() | st.sampled_from(STREAM_IDS),
        tag=st.none() | st.sampled_from(["red", "big"]),
        after=st.integers(0, 12),
    )
    def begin_to_read_live(self, name, stream_id, tag, after):
        if stream_id is not None:
            reader = LiveReader(
                lambda journal, place: journal.event_stream(stream_id, Event).live_records(place),
                lambda entry: entry.stream_id == stream_id,
                lambda entry: entry.sequence_number,
                after,
                after,
            )
        else:
            if not self.dense:
                after = min(after, len(self.log))  # nobody knows which positions there will be
            reader = LiveReader(
                lambda journal, position: journal.live_records(position, tags=() if tag is None else tag),
                lambda entry: tag is None or tag in entry.tags,
                lambda entry: entry.position,
                after,
                self.places[name].position(after),
            )
        self.readers.append((name, reader))
        self._start(name, reader)

    @precondition(lambda self: self.readers)
    @rule()
    def live_readers_have_seen_everything_once(self):
        for name, reader in self.readers:
            expected = [entry for entry in self.log if reader.wants(entry) and reader.place_of(entry) > reader.after]
            self._do(self._wait_for, reader, len(expected))
            assert self._entries_of(name, reader.seen, expected) == expected

    async def _wait_for(self, reader: LiveReader, count: int) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(reader.seen) < count:
                assert reader.task is not None
                assert not reader.task.done(), reader.task.exception()
                await anyio.sleep(0.001)

    def _start(self, name: str, reader: LiveReader) -> None:
        reader.task = self.portal.start_task_soon(reader.follow, self.journals[name])

    def _readers_ended(self, readers: list[tuple[str, LiveReader]]) -> None:
        for _, reader in readers:
            assert reader.task is not None
            assert isinstance(reader.task.exception(PATIENCE_SECONDS), JournalClosedError)

    # Snapshots.

    @rule(stream_id=st.sampled_from(STREAM_IDS), number=st.integers(0, 9), keep=st.none() | st.integers(1, 3))
    def save_snapshot(self, stream_id, number, keep):
        state = Added(number)

        async def save(journal: Journal) -> None:
            await journal.snapshots.save_snapshot(stream_id, state, sequence_number=number, keep=keep)

        for name in ("memory", "file"):
            self._do(save, self.journals[name])
        saved = self.snapshots.setdefault(stream_id, {})
        saved[number] = state
        for superfluous in sorted(saved, reverse=True)[keep:] if keep is not None else ():
            del saved[superfluous]
        self.load_snapshot(stream_id)

    @rule(stream_id=st.sampled_from(STREAM_IDS))
    def load_snapshot(self, stream_id):
        saved = self.snapshots.get(stream_id, {})

        async def load(journal: Journal) -> tuple[Any, list[int]]:
            snapshot = await journal.snapshots.load_snapshot(stream_id, Event)
            listed = await journal.snapshots.list_snapshots(stream_id)
            return snapshot, [summary.sequence_number for summary in listed]

        for journal in self.journals.values():
            snapshot, listed = self._do(load, journal)
            assert listed == sorted(saved, reverse=True)
            assert (snapshot and (snapshot.sequence_number, snapshot.state)) == (max(saved.items()) if saved else None)


def type_name(entry: Entry) -> str:
    return "model-added" if isinstance(entry.event, Added) else "model-removed"


def _limited(source: Source[Any], demand: int | None) -> Source[Any]:
    return source if demand is None else source.take(demand)


class TrioJournalMachine(JournalMachine):
    """The same on the other event loop."""

    backend = "trio"


MACHINES = [JournalMachine, TrioJournalMachine]


@pytest.fixture(scope="module")
def postgres_machine() -> Iterator[type[JournalMachine]]:
    """Lend a machine whose journals are schemas of one server."""
    with postgres.server(waits_for_disk=False) as url:

        class PostgresMachine(JournalMachine):
            def new_url(self, folder: Path) -> str:
                return postgres.url_of_schema(url, postgres.new_schema())

        yield PostgresMachine


@pytest.fixture(scope="module")
def nats_machine() -> Iterator[type[JournalMachine]]:
    """Lend a machine whose journals are streams of one server."""
    with nats.server() as url:

        class NatsMachine(JournalMachine):
            dense = False

            def new_url(self, folder: Path) -> str:
                return nats.url_of_journal(url, nats.new_journal())

        yield NatsMachine


def test_both_journals_do_what_the_model_does():
    run_state_machine_as_test(JournalMachine, settings=settings(max_examples=40, stateful_step_count=50, deadline=None))


@pytest.mark.soak
@pytest.mark.parametrize("machine", MACHINES)
def test_both_journals_do_what_the_model_does_for_long(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=250, stateful_step_count=60, deadline=None))


def test_a_journal_in_nats_does_what_the_model_does(nats_machine):
    run_state_machine_as_test(nats_machine, settings=settings(max_examples=5, stateful_step_count=30, deadline=None))


@pytest.mark.soak
def test_a_journal_in_nats_does_what_the_model_does_for_long(nats_machine):
    run_state_machine_as_test(nats_machine, settings=settings(max_examples=25, stateful_step_count=50, deadline=None))


@pytest.mark.soak
def test_a_journal_in_postgres_does_what_the_model_does_for_long(postgres_machine):
    run_state_machine_as_test(
        postgres_machine, settings=settings(max_examples=15, stateful_step_count=50, deadline=None)
    )
