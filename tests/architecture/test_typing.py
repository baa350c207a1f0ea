"""`mypy --strict` accepts user code that follows the examples, and refuses events of the wrong type."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER_CODE = (Path(__file__).parent / "typed_user_code.py").read_text()

MISTAKES = {
    "another event": 'await events.persist("text")',
    "another event in a list": "await events.persist([Paid(), 5])",
    "a wrong state": "wrong: int = await events.query().run_fold(Order(), evolve)",
    "a wrong fold": "await events.query().run_fold(0, evolve)",
    "a wrong snapshot": 'wrong: Snapshot[Paid] | None = await journal.snapshots.load_snapshot("a", Order)',
    "a version that is text": 'await events.persist(Paid(), expected_version="3")',
    "a wrong record": "wrong: Source[RecordedEvent[str]] = events.records()",
}


def _mypy(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "user_code.py"
    file.write_text(code)
    arguments = ["--strict", "--config-file", "", "--cache-dir", str(tmp_path / "cache"), str(file)]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_user_code_that_follows_the_examples_is_typed(tmp_path):
    result = _mypy(tmp_path, USER_CODE)
    assert result.returncode == 0, result.stdout


def test_every_mistake_is_found_on_its_line(tmp_path):
    lines = USER_CODE.rstrip("\n").split("\n")
    first = len(lines) + 2
    functions = [
        f"\nasync def mistake_{number}(journal: Journal, events: EventStream[ItemAdded | Paid]) -> None:\n    {mistake}"
        for number, mistake in enumerate(MISTAKES.values())
    ]
    code = USER_CODE.rstrip("\n") + "\n" + "\n".join(functions) + "\n"
    result = _mypy(tmp_path, code)
    assert result.returncode == 1, result.stdout
    found = {int(line.split(":")[1]) for line in result.stdout.splitlines() if ": error:" in line}
    expected = {
        number for number, line in enumerate(code.split("\n"), 1) if number >= first and line.startswith("    ")
    }
    assert found == expected, result.stdout
