import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def examples_in(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


BLOCKS = [block for page in PAGES for block in examples_in(page)]
IDS = [f"{page.name}-{number}" for page in PAGES for number, _ in enumerate(examples_in(page), 1)]


def test_the_readme_has_examples() -> None:
    assert len(examples_in(PAGES[0])) >= 4


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_every_example_of_the_readme_and_of_the_docs_runs_as_written(block: str, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(block)

    result = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout or "check_convergence" in block


def test_every_example_of_the_readme_and_of_the_docs_is_typed(tmp_path: Path) -> None:
    files = [tmp_path / f"example_{number}.py" for number in range(len(BLOCKS))]
    for file, block in zip(files, BLOCKS, strict=True):
        file.write_text(block)

    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            "",
            "--cache-dir",
            str(tmp_path / "cache"),
            *map(str, files),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout
