"""`calliope copy` as a shell sees it: what it says, how it ends, and that it goes on after being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import anyio
import pytest
from click.testing import CliRunner, Result

from calliope import Journal, UntypedEvent
from calliope.copying.place import Place, note
from calliope.testing.everything import everything
from calliope.testing.requests import append_of
from replication.commands.application import application
from tests.postgres import new_schema, server, url_of_schema

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0


def copy(*arguments: str | Path) -> Result:
    return CliRunner().invoke(application, ["copy", *map(str, arguments)], prog_name="calliope", catch_exceptions=False)


def heeds_ctrl_c() -> None:
    """Have a child end at Ctrl-C, also in the background of a shell, where it would ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(source: Path, target: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "replication.cli", "copy", str(source), str(target)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds_ctrl_c,
    )


def fill(path: Path, events: int) -> None:
    async def write() -> None:
        async with Journal.open(path, durability="relaxed") as journal:
            async with anyio.create_task_group() as group:
                for n in range(events // 25):
                    stream = journal.event_stream(f"s-{n % 50}", UntypedEvent)
                    many = [UntypedEvent("Happened", {"n": n, "text": "x" * 50}) for n in range(25)]
                    group.start_soon(lambda stream=stream, many=many, n=n: stream.persist(many, event_id=f"id-{n}"))
            await journal.snapshots.save_snapshot("s-1", {"sum": 3}, sequence_number=3)

    anyio.run(write)


def said(path: Path | str) -> list[tuple[object, ...]]:
    """Everything in a journal."""

    async def read() -> list[tuple[object, ...]]:
        async with Journal.open(path) as journal:
            records = journal.records(event_type=UntypedEvent)
            return [
                (r.position, r.stream_id, r.sequence_number, r.id, r.type, r.timestamp, r.data)
                for r in await records.run_collect()
            ]

    return anyio.run(read)


def test_a_copy_is_made_and_made_again(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source, 100)
    first = copy(source, target)
    assert (first.exit_code, first.stderr) == (0, "")
    assert "100 events and 1 snapshots copied\ncompared: 100 events in both, checksum " in first.stdout
    again = copy(source, f"sqlite:///{target}", "--no-verify")
    assert again.exit_code == 0
    assert again.stdout == f"sqlite:///{target}: 0 events and 0 snapshots copied, it held 100 events already\n"
    assert said(target) == said(source)


def test_what_cannot_be_copied_is_refused_in_one_line(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source, 25)
    for arguments, code, expected in (
        ((tmp_path / "none.db", target), 2, "there is no journal"),
        ((f"sqlite:///{tmp_path}/none.db", target), 2, "there is no journal"),
        (
            ("redis://host/0", target),
            2,
            "is no journal that is known here: give a path, sqlite:///path",
        ),
        ((source, source), 1, "are the same journal"),
        ((source,), 2, "Missing argument 'TO'"),
    ):
        refused = copy(*arguments)
        assert (refused.exit_code, refused.stdout) == (code, "")
        assert expected in refused.stderr
        assert not target.exists()


def test_differences_are_listed_and_the_exit_code_is_1(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"

    async def differ() -> None:
        async with Journal.open(source) as one, Journal.open(target) as other:
            requests = [append_of("a"), append_of("a", b"\x01"), append_of("b", b"\x02", event_id="id")]
            first, *_ = [await one.store.append(request) for request in requests]
            requests[0] = append_of("a", event_id=f"{one.id}-{first[0].position}")
            requests[1] = append_of("a", b"\x07", tags=("red",), event_id=f"{one.id}-2")
            for request in requests:
                await other.store.append(request)
            await note(other.store, Place(one.id, source=3, target=3, events=3))

    anyio.run(differ)
    found = copy(source, target)
    assert found.exit_code == 1
    assert found.stdout == "event 2 of stream 'a' has another tags, payload\n"
    assert f"{target} is no copy of {source}: 1 differences" in found.stderr


def test_ctrl_c_leaves_what_the_next_copy_goes_on_from(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source, 5_000)
    copying = start(source, target)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not target.exists() and copying.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        copying.send_signal(signal.SIGINT)
        _, errors = copying.communicate(timeout=PATIENCE_SECONDS)
    finally:
        copying.kill()
        copying.wait()
    assert (copying.returncode, errors) in ((130, ""), (0, ""))
    assert copy(source, target).exit_code == 0
    assert said(target) == said(source)


@pytest.mark.soak
def test_killed_at_any_moment_it_goes_on_without_a_gap_or_a_double(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source, 60_000)
    random, whole = Random(11), said(source)
    interrupted = 0
    for _ in range(40):
        copying = start(source, target)
        try:
            copying.wait(timeout=random.uniform(0.6, 2.5))
        except subprocess.TimeoutExpired:
            interrupted += 1
        finally:
            copying.kill()
            copying.communicate()
        held = said(target) if target.exists() else []
        assert held == whole[: len(held)]
        if len(held) == len(whole):
            break
    assert interrupted > 0
    assert copy(source, target).exit_code == 0
    assert said(target) == whole


@pytest.mark.soak
def test_killed_on_its_way_to_a_server_it_goes_on_without_a_gap_or_a_double(tmp_path: Path) -> None:
    source, random = tmp_path / "a.db", Random(12)
    fill(source, 20_000)
    whole = said(source)
    with server(waits_for_disk=False) as url:
        target = url_of_schema(url, new_schema())
        for _ in range(8):
            copying = start(source, target)
            try:
                copying.wait(timeout=random.uniform(0.8, 2.5))
            except subprocess.TimeoutExpired:
                pass
            finally:
                copying.kill()
                copying.communicate()
            held = said(target)
            assert held == whole[: len(held)]
        assert copy(source, target).exit_code == 0
        assert said(target) == whole


@pytest.mark.soak
def test_a_target_that_is_killed_holds_whole_requests_only(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    fill(source, 20_000)
    copying = start(source, target)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while copying.poll() is None and time.monotonic() < deadline:
            if target.exists() and target.stat().st_size > 200_000:
                break
            time.sleep(0.005)
    finally:
        copying.kill()
        copying.communicate()

    async def held() -> int:
        async with Journal.open(target) as journal:
            return len(await everything(journal.store))

    assert anyio.run(held) % 25 == 0
    assert copy(source, target).exit_code == 0
    assert said(target) == said(source)
