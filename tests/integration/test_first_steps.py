"""One journal from import to live query, run as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def demonstrated(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.first_steps", *arguments],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "PYTHONWARNINGS": "error",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    shown = demonstrated(tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("checked: ") == 4
    assert shown.stdout.endswith("All of it held.\n")
    assert list(tmp_path.iterdir()) == []


def test_it_takes_any_event_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("who,what,when\n" + "".join(f"w-{n % 3},did [{n % 2}],2024-05-01T12:00:{n:02}\n" for n in range(60)))
    shown = demonstrated(
        tmp_path, "--input", "log.csv", "--stream-column", "who", "--type-column", "what", "--time-column", "when"
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "60 events in 3 streams" in shown.stdout
    assert "did [1]" in shown.stdout


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [("stream,type,time\n,x,2024-05-01\n", 1, "line 2 has no 'stream'"), (None, 2, "No such file")],
)
def test_it_says_what_is_wrong_with_a_log(tmp_path: Path, text: str | None, code: int, expected: str) -> None:
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    shown = demonstrated(tmp_path, "--input", "log.csv")
    assert shown.returncode == code
    assert expected in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr
