"""The power fails at every call that changes a file: what was acknowledged is there, and nothing is there in part."""

from pathlib import Path
from random import Random

import pytest

from calliope import Journal
from calliope.verification import verify_journal
from tests.integration.faulty_file_layer import FaultyFileLayer, FileCall
from tests.integration.journal_workload import Acknowledgement, check, persist, work
from tests.integration.power_cut import Disk, write_files

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def recorded_run(folder: Path, requests: int) -> tuple[list[FileCall], list[Acknowledgement]]:
    """Let eight callers persist, open the journal twice, and return all that was done to the files."""
    layer = FaultyFileLayer()
    path = folder / "journal.db"
    acknowledged: list[Acknowledgement] = []

    def acknowledge(done: Acknowledgement) -> None:
        acknowledged.append(done)
        layer.acknowledge(path)

    for run in range(2):
        async with layer.journal(path) as journal:
            await work(journal, run, 8, range(requests), acknowledge, persist)
    return layer.calls, acknowledged


async def cut_everywhere(tmp_path: Path, requests: int, step: int, cuts: int) -> None:
    """Cut the power before every `step`-th call, each time in several ways, and check what is left."""
    source = tmp_path / "source"
    source.mkdir()
    calls, acknowledged = await recorded_run(source, requests)
    chance = Random(requests)
    disk = Disk()
    acknowledgements = checked = 0
    for number, call in enumerate(calls):
        if number % step == 0 or call.kind == "sync":
            for way in range(cuts):
                folder = tmp_path / f"{number}-{way}"
                folder.mkdir()
                write_files(folder, disk.after_power_cut(chance if way else None))
                async with Journal.open(folder / "journal.db") as journal:
                    await check(journal, acknowledged[:acknowledgements])
                assert verify_journal(folder / "journal.db").damages == []
                checked += 1
        disk.carry_out(call)
        acknowledgements += call.kind == "acknowledge"
    print(f"{len(calls)} calls, {len(acknowledged)} acknowledgements, {checked} power cuts")


async def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path) -> None:
    await cut_everywhere(tmp_path, requests=4, step=10, cuts=3)


@pytest.mark.soak
async def test_what_was_acknowledged_survives_a_power_cut_at_every_call(tmp_path: Path) -> None:
    await cut_everywhere(tmp_path, requests=12, step=1, cuts=3)
