"""Repositories: commands a second on aggregates in memory, and loads a second of aggregates that are not."""

import asyncio
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from benchmarks.ordering import ItemAdded, add_up, item
from benchmarks.setting import Setting
from benchmarks.table import Benchmark, Contender, Table, Unit, compare
from calliope import Journal
from calliope.domain import Decider, Repository

try:
    from benchmarks.peers import eventsourcing_aggregates as installed
except ImportError:  # the table then shows ours alone
    installed = None  # type: ignore[assignment]

PEER: ModuleType | None = installed

CALLERS = 64
SNAPSHOT_AT = 100
EVENTS = 150  # with a snapshot every hundred events, an aggregate has on average fifty more

COMMANDS_PER_SECOND = Unit("commands/s")
LOADS_PER_SECOND = Unit("loads/s")


@dataclass(frozen=True, slots=True)
class Order:
    """An order that knows what it costs."""

    total: int = 0


ORDER = Decider[Order, ItemAdded, ItemAdded](
    Order(), lambda command, order: command, lambda order, event: Order(add_up(order.total, event))
)


def commands(setting: Setting) -> Table:
    """Measure 64 callers with an aggregate each in memory."""
    count, theirs = setting.count(16_000, CALLERS), setting.count(1_600, CALLERS)
    contenders = [
        Contender("calliope: repository.execute(id, command)", _ours(setting, _execute, count=count, streams=CALLERS)),
        Contender(
            "calliope: the same, with a command id", _ours(setting, _execute, count=count, streams=CALLERS, named=True)
        ),
        Contender("calliope: all callers on one aggregate", _ours(setting, _execute, count=count // 16, streams=1)),
    ]
    if PEER is not None:
        measure = partial(PEER.save, callers=CALLERS, count=theirs)
        contenders.append(Contender(f"{PEER.NAME}: application.save(aggregate)", _theirs(setting, measure), target=5))
    return compare(
        setting,
        f"Commands through a hot repository, {CALLERS} concurrent callers, one event a command",
        COMMANDS_PER_SECOND,
        contenders,
        f"{count:,} commands a round on {CALLERS} aggregates, a caller each; {count // 16:,} on one, carried out one"
        f" after the other; theirs {theirs:,} from {CALLERS} threads, an aggregate each that stays in memory. All:"
        " SQLite, WAL, synchronous=FULL.",
    )


def loads_without_snapshots(setting: Setting) -> Table:
    """Measure loading aggregates from all of their events."""
    return _loads(setting, None, f"from {EVENTS} events each")


def loads_with_snapshots(setting: Setting) -> Table:
    """Measure loading aggregates from a snapshot and the events after it."""
    return _loads(setting, SNAPSHOT_AT, f"from a snapshot and the {EVENTS - SNAPSHOT_AT} events after it")


def _loads(setting: Setting, snapshot_at: int | None, what: str) -> Table:
    count, theirs = setting.count(1_920, CALLERS), setting.count(384, CALLERS)
    contenders = [
        Contender("calliope: repository.load(id)", _ours(setting, _load, count=count, snapshot_at=snapshot_at))
    ]
    if PEER is not None:
        measure = partial(PEER.load, callers=CALLERS, count=theirs, events=EVENTS, snapshot_at=snapshot_at)
        contenders.append(Contender(f"{PEER.NAME}: repository.get(id)", _theirs(setting, measure), target=5))
    return compare(
        setting,
        f"Cold loads of aggregates, {what}, {CALLERS} concurrent callers",
        LOADS_PER_SECOND,
        contenders,
        f"{count:,} loads a round of {CALLERS} aggregates, none kept in memory; theirs {theirs:,} from {CALLERS}"
        " threads, not cached either (its default), JSON (its default).",
    )


async def _execute(folder: Path, *, count: int, streams: int, named: bool = False) -> float:
    """Return commands a second."""
    each = -(-count // CALLERS)
    async with Journal.open(folder / "journal.db") as journal:
        orders = Repository(journal, ORDER, ItemAdded)
        for number in range(streams):
            await orders.execute(f"order-{number}", item(0))

        async def call(caller: int) -> None:
            stream_id = f"order-{caller % streams}"
            for number in range(each):
                await orders.execute(stream_id, item(number), command_id=f"{caller}-{number}" if named else None)

        return await _rate(call, each * CALLERS)


async def _load(folder: Path, *, count: int, snapshot_at: int | None) -> float:
    """Return loads a second."""
    each = -(-count // CALLERS)
    async with Journal.open(folder / "journal.db") as journal:
        for number in range(CALLERS):
            await _store(journal, f"order-{number}", snapshot_at)
        state_type = Order if snapshot_at is not None else None
        orders = Repository(journal, ORDER, ItemAdded, state_type=state_type, cached_aggregates_max=0)

        async def call(caller: int) -> None:
            for _ in range(each):
                loaded = await orders.load(f"order-{caller}")
                if loaded.version != EVENTS:
                    raise RuntimeError(f"{loaded} should have seen {EVENTS} events")

        return await _rate(call, each * CALLERS)


async def _store(journal: Journal, stream_id: str, snapshot_at: int | None) -> None:
    events = [item(number) for number in range(EVENTS)]
    await journal.event_stream(stream_id, ItemAdded).persist(events)
    if snapshot_at is not None:
        state = ORDER.state_of(events[:snapshot_at])
        await journal.snapshots.save_snapshot(stream_id, state, sequence_number=snapshot_at)


async def _rate(call: Callable[[int], object], count: int) -> float:
    """Let all callers work at the same time; return how much they did a second."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for caller in range(CALLERS):
            tasks.create_task(call(caller))
    return count / (time.perf_counter() - began)


def _ours(setting: Setting, measure: Callable[..., object], **options: object) -> Callable[[], float]:
    return setting.in_folder(lambda folder: asyncio.run(measure(folder, **options)))


def _theirs(setting: Setting, measure: Callable[[Path], float]) -> Callable[[], float]:
    def quietly(folder: Path) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers do with old interfaces is theirs
            return measure(folder)

    return setting.in_folder(quietly)


BENCHMARKS: tuple[Benchmark, ...] = (commands, loads_without_snapshots, loads_with_snapshots)
