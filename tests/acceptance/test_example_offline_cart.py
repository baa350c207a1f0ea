"""The cart of `examples/offline_cart`: two replicas, each command opens its file anew; the shop serves as a process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.examples_run import run_example

ROOT = Path(__file__).parents[2]

Command = Callable[..., str]
"""Runs a command of one of the replicas, and returns the cart that it printed."""


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(replica: str, *arguments: str) -> str:
        assert run_example("offline_cart", *_options(tmp_path, replica), "--seconds", 60, *arguments) == ""
        return capsys.readouterr().out.strip()

    return run


@contextmanager
def shop_serving(folder: Path) -> Iterator[str]:
    """Serve the shop's cart during the block, then kill it; the block is told the address."""
    arguments = [sys.executable, "-W", "error", "-m", "examples.offline_cart", *_options(folder, "shop")]
    arguments += ["serve", "--listen", "127.0.0.1:0"]
    nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, stdout=nowhere, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[-1]
        finally:
            process.kill()


def _options(folder: Path, replica: str) -> list[str]:
    return ["--replica", replica, "--data", str(folder / f"{replica}.db")]


def test_what_both_changed_while_they_were_apart_is_in_both_when_they_meet(tmp_path: Path, command: Command) -> None:
    assert command("shop", "add", "milk", "2") == "2 milk"
    with shop_serving(tmp_path) as address:
        assert command("phone", "sync", address) == "2 milk"

    assert command("phone", "add", "milk", "3") == "5 milk"
    assert command("phone", "add", "bread") == "1 bread, 5 milk"
    assert command("shop", "remove", "milk") == "nothing"

    with shop_serving(tmp_path) as address:
        assert command("phone", "sync", address) == "1 bread, 3 milk"
    assert command("shop", "show") == "1 bread, 3 milk"


def test_a_shop_that_does_not_answer_costs_an_error_and_nothing_else(tmp_path: Path, command: Command) -> None:
    command("phone", "add", "milk")
    sync = (*_options(tmp_path, "phone"), "--seconds", 0.1, "sync", "127.0.0.1:9")
    told = run_example("offline_cart", *sync)
    assert told.startswith("1 of the required 2 replicas answered in time (phone)")
    assert command("phone", "show") == "1 milk"
