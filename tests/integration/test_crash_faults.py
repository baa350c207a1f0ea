"""Every call that changes a file fails once; callers are told, the journal goes on, and sending again writes once."""

import os
import shutil
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random

import pytest

from calliope import Journal
from calliope.errors import JournalError, StorageError, StorageFullError
from calliope.stores import sqlite_connection
from calliope.verification import verify_journal
from tests.integration.faulty_file_layer import NO_FAULT, Fault, FaultyFileLayer, FileCall, fail_io, fill_disk
from tests.integration.journal_workload import Acknowledgement, check, event_id, persist, work
from tests.integration.power_cut import replayed, write_files

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

CALLERS = 4
ATTEMPTS_MAX = 20

Strike = Callable[[Callable[[], None]], None]


@pytest.fixture(autouse=True)
def _frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "CHECKPOINT_PAGES", 8)


class PersistentCallers:
    """Callers who send again what failed, if that is safe: always when nothing was written, else with an event id."""

    def __init__(self, layer: FaultyFileLayer, path: Path) -> None:
        self._layer = layer
        self._path = path
        self.acknowledged: list[Acknowledgement] = []
        self.errors: list[JournalError] = []

    async def work(self, requests: int) -> None:
        """Persist, close the journal, and open it again without faults to check it."""
        async with self._layer.journal(self._path) as journal:
            await work(journal, 0, CALLERS, range(requests), self._acknowledge, self._persist)
        self._layer.fault = NO_FAULT
        async with self._layer.journal(self._path) as journal:
            await check(journal, self.acknowledged)
        assert verify_journal(self._path).damages == []

    def _acknowledge(self, done: Acknowledgement | None) -> None:
        if done is not None:
            self.acknowledged.append(done)
            self._layer.acknowledge(self._path)

    async def _persist(self, journal: Journal, run: int, caller: int, request: int) -> Acknowledgement | None:
        for _ in range(ATTEMPTS_MAX):
            try:
                return await persist(journal, run, caller, request)
            except StorageFullError as error:
                self.errors.append(error)
            except StorageError as error:
                self.errors.append(error)
                if event_id(run, caller, request) is None:
                    return None
        raise AssertionError(f"{ATTEMPTS_MAX} attempts failed: {self.errors}")


async def failed_run(folder: Path, requests: int, fault: Fault) -> tuple[FaultyFileLayer, PersistentCallers]:
    os.mkdir(folder)
    path = folder / "journal.db"
    layer = FaultyFileLayer()
    async with layer.journal(path):
        pass  # creating is another test
    layer.fault = fault
    callers = PersistentCallers(layer, path)
    await callers.work(requests)
    return layer, callers


async def cut_power_behind_the_fault(
    folder: Path, calls: Sequence[FileCall], acknowledged: Sequence[Acknowledgement], cuts: int
) -> None:
    """Cut the power at some moments after a failed sync; what was acknowledged by then must be there."""
    struck = next((number for number, call in enumerate(calls) if call.kind == "failed sync"), len(calls))
    chance = Random(struck)
    for number in sorted(chance.sample(range(struck, len(calls)), min(cuts, len(calls) - struck))):
        disk = replayed(calls[: number + 1])
        cut = folder / f"cut-{number}"
        os.mkdir(cut)
        write_files(cut, disk.after_power_cut(chance))
        acknowledgements = sum(call.kind == "acknowledge" for call in calls[: number + 1])
        async with Journal.open(cut / "journal.db") as journal:
            await check(journal, acknowledged[:acknowledgements])


async def fail_everywhere(tmp_path: Path, requests: int, step: int, strike: Strike, times: int, cuts: int) -> None:
    """Run again and again; in each run the next `step`-th call fails, and as many more as `times` says."""
    told = 0
    for at in count(1, step):
        fault = Fault(at, strike, times, concerns=lambda call: strike is fail_io or call.kind == "write")
        layer, callers = await failed_run(tmp_path / str(at), requests, fault)
        told += bool(callers.errors)
        if not fault.struck:
            break
        await cut_power_behind_the_fault(tmp_path / str(at), layer.calls, callers.acknowledged, cuts)
        shutil.rmtree(tmp_path / str(at))
    print(f"{at // step} of {at} calls failed, callers were told of {told}")
    assert told


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("strike", [fail_io, fill_disk])
async def test_a_failed_call_loses_and_doubles_nothing(tmp_path: Path, strike: Strike, times: int) -> None:
    await fail_everywhere(tmp_path, requests=6, step=7, strike=strike, times=times, cuts=2)


@pytest.mark.soak
@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("strike", [fail_io, fill_disk])
async def test_each_call_of_a_long_run_may_fail(tmp_path: Path, strike: Strike, times: int) -> None:
    await fail_everywhere(tmp_path, requests=48, step=1, strike=strike, times=times, cuts=2)
