"""Several processes execute commands on shared aggregates: what was accepted is there, once, and nothing else."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest

from calliope import Journal, RecordedEvent
from calliope.domain import Repository
from tests.integration.commanding import RAFFLE, Claim, Claimed, Raffle
from tests.postgres import new_schema, server, url_of_schema

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

AGGREGATES = 100


@asynccontextmanager
async def commanding(path: Path | str, name: str, commands: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.commanding", str(path), name, str(commands), str(AGGREGATES),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def begin(*processes: asyncio.subprocess.Process) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")


async def lines_of(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    lines = (await process.stdout.read()).decode().splitlines()
    assert await process.wait() == 0
    return lines


async def claims_in(path: Path | str) -> list[RecordedEvent[Claimed]]:
    async with Journal.open(path) as journal:
        return await journal.records(event_type=Claimed).run_collect()


def check_streams(records: list[RecordedEvent[Claimed]]) -> None:
    """Versions have no gaps, and each event follows from all before it."""
    in_streams = sorted(records, key=lambda record: (record.stream_id, record.sequence_number))
    for _, stream in groupby(in_streams, key=lambda record: record.stream_id):
        places = [(record.sequence_number, record.data.ticket) for record in stream]
        assert places == [(number, number) for number in range(1, len(places) + 1)]


def stored_of(records: list[RecordedEvent[Claimed]]) -> dict[str, str]:
    """Return, for each command, what its process should have told about it."""
    stored: dict[str, str] = {}
    for record in records:
        stored.setdefault(record.data.command, f"{record.data.command} {record.stream_id}")
        stored[record.data.command] += f" {record.sequence_number}"
    return stored


async def both_execute(path: Path | str, commands: int) -> None:
    async with commanding(path, "one", commands) as one, commanding(path, "other", commands) as other:
        begin(one, other)
        told = [line for lines in await asyncio.gather(lines_of(one), lines_of(other)) for line in lines]
    accepted = [line for line in told if not line.endswith(" refused")]
    records = await claims_in(path)
    assert len(told) == 2 * commands
    assert sorted(accepted) == sorted(stored_of(records).values())
    assert 0 < len(accepted) < len(told)
    check_streams(records)
    turns = len(list(groupby(records, key=lambda record: record.data.command.partition("-")[0])))
    assert turns > 2, "the processes were to work at the same time"
    async with Journal.open(path) as journal:
        repository = Repository(journal, RAFFLE, Claimed, state_type=Raffle)
        for number in range(AGGREGATES):
            stream_id = f"raffle-{number}"
            claimed = sum(record.stream_id == stream_id for record in records)
            assert (await repository.load(stream_id)).state == Raffle(claimed)


async def test_every_accepted_commands_events_are_there_once(tmp_path: Path) -> None:
    await both_execute(tmp_path / "journal.db", 500)


@pytest.mark.soak
async def test_five_thousand_commands_each_on_a_hundred_aggregates(tmp_path: Path) -> None:
    await both_execute(tmp_path / "journal.db", 5_000)


@pytest.mark.soak
async def test_processes_share_a_journal_in_postgresql() -> None:
    with server(waits_for_disk=False) as url:
        await both_execute(url_of_schema(url, new_schema()), 300)


async def test_what_a_killed_process_had_carried_out_is_recognised(tmp_path: Path) -> None:
    """Nobody knows which of its last commands were; their ids tell."""
    path, commands = tmp_path / "journal.db", 400
    async with commanding(path, "one", commands) as process:
        begin(process)
        assert process.stdout is not None
        told = [(await process.stdout.readline()).decode().strip() for _ in range(100)]
        process.kill()
    before = stored_of(await claims_in(path))
    assert {line for line in told if not line.endswith(" refused")} <= set(before.values())
    assert len(before) < commands

    async with Journal.open(path) as journal:
        repository = Repository(journal, RAFFLE, Claimed)
        for command_id, line in before.items():
            _, stream_id, *numbers = line.split()
            again = await repository.execute(stream_id, Claim(command_id, 4), command_id=command_id)
            assert (again.duplicate, len(again.events)) == (True, len(numbers))
    records = await claims_in(path)
    assert stored_of(records) == before
    check_streams(records)
