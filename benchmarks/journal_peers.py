"""The journal beside other event-sourcing libraries, each as its own documentation would use it on SQLite."""

import asyncio
import warnings
from pathlib import Path

from benchmarks import waiting, workload
from benchmarks.journal import CALLERS
from benchmarks.peers import EventSourcingPeer, Use, event_sourcing_peers
from benchmarks.setting import Setting
from benchmarks.table import EVENTS_PER_SECOND, MILLISECONDS, Benchmark, Contender, Table, compare


def appending(setting: Setting) -> Table:
    """Measure appending under concurrency."""
    count, theirs = setting.count(102_400, CALLERS), setting.count(2_560, CALLERS)

    def ours(folder: Path) -> float:
        return asyncio.run(workload.persist_concurrently(folder, callers=CALLERS, streams=CALLERS, count=count))

    uses = {peer: peer.append for peer in event_sourcing_peers()}
    return compare(
        setting,
        "Appending under concurrency, beside other libraries",
        EVENTS_PER_SECOND,
        [
            Contender(f"calliope: persist from {CALLERS} tasks", setting.in_folder(ours)),
            *_contenders(setting, uses, theirs, target=20),
        ],
        f"Ours writes {count:,} events a round with full durability, they {theirs:,}. {_notes(uses)}",
    )


def replaying(setting: Setting) -> Table:
    """Measure the replay of one stream that was written in lists."""
    return _replaying(setting, workload.fill, "written in lists", target=10)


def replaying_single_events(setting: Setting) -> Table:
    """Measure the replay of one stream that was written one event at a time."""
    return _replaying(setting, workload.fill_one_by_one, "written one by one", target=None)


def _replaying(setting: Setting, fill: workload.Fill, written: str, target: float | None) -> Table:
    count, theirs = setting.count(100_000, 100), setting.count(20_000, 100)

    def ours(folder: Path) -> float:
        asyncio.run(fill(folder / "journal.db", count))
        return asyncio.run(workload.replay(folder / "journal.db", workload.into_fold, count))

    uses = {peer: peer.replay for peer in event_sourcing_peers()}
    return compare(
        setting,
        f"Replaying one stream, {written}, into a state, beside other libraries",
        EVENTS_PER_SECOND,
        [
            Contender("calliope: query().run_fold(…)", setting.in_folder(ours)),
            *_contenders(setting, uses, theirs, target),
        ],
        f"Ours reads {count:,} dataclass events, {written}; they {theirs:,} of the same three fields, which they wrote"
        f" in one list. {_notes(uses)}",
    )


def waking(setting: Setting) -> Table:
    """Measure how soon a live reader has an event."""
    samples = setting.count(200, 3)

    def ours(folder: Path) -> float:
        return asyncio.run(waiting.wake_up(folder, samples=samples, since_call=True))

    uses = {peer: peer.wake_up for peer in event_sourcing_peers() if peer.wake_up is not None}
    return compare(
        setting,
        "From the call that persists to a live reader in the same process, beside other libraries",
        MILLISECONDS,
        [
            Contender("calliope: persist, live_query", setting.in_folder(ours)),
            *_contenders(setting, uses, samples),
        ],
        f"Median of {samples} events a round, one every {1000 * waiting.PAUSE_SECONDS:g} ms, each with its commit."
        f" {_notes(uses)}",
    )


def _contenders(
    setting: Setting, uses: dict[EventSourcingPeer, Use], count: int, target: float | None = None
) -> list[Contender]:
    return [Contender(peer.name, setting.in_folder(_Measure(use, count)), target) for peer, use in uses.items()]


class _Measure:
    """Measures a peer's use in a folder."""

    def __init__(self, use: Use, count: int) -> None:
        self._use = use
        self._count = count

    def __call__(self, folder: Path) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers do with old interfaces is theirs
            return self._use.measure(folder, self._count)


def _notes(uses: dict[EventSourcingPeer, Use]) -> str:
    return " ".join(f"{peer.distribution}: {use.note}." for peer, use in uses.items())


BENCHMARKS: tuple[Benchmark, ...] = (appending, replaying, replaying_single_events, waking)
