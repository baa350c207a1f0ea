"""The process dies at every call that changes a file, from the making of the journal to its closing."""

import subprocess
import sys
from pathlib import Path

import pytest


def swept(folder: Path, requests: int, step: int, *, tear: bool) -> None:
    command = [sys.executable, "-m", "tests.integration.crash_sweep", str(folder)]
    command += ["--requests", str(requests), "--step", str(step), *(["--tear"] if tear else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tear", [False, True])
def test_a_process_that_dies_at_any_call_loses_halves_and_doubles_nothing(tmp_path: Path, tear: bool) -> None:
    swept(tmp_path, requests=5, step=6, tear=tear)


@pytest.mark.soak
@pytest.mark.parametrize("tear", [False, True])
def test_a_process_that_dies_at_each_call_of_a_run_of_500_events_loses_nothing(tmp_path: Path, tear: bool) -> None:
    swept(tmp_path, requests=40, step=1, tear=tear)
