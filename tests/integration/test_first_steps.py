"""One journal from import to live query, run as a person runs it; and the logs that the examples read."""

import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from calliope.event_log import Columns
from examples.event_logs import add_arguments, chosen_log, generated_log
from examples.first_steps import main

ROOT = Path(__file__).parents[2]


def test_it_takes_any_event_log_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("who,what,when\n" + "".join(f"w-{n % 3},did [{n % 2}],2024-05-01T12:00:{n:02}\n" for n in range(60)))
    columns = ("--stream-column", "who", "--type-column", "what", "--time-column", "when")
    shown = subprocess.run(
        [sys.executable, "-m", "examples.first_steps", "--input", "log.csv", *columns],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "60 events in 3 streams" in shown.stdout
    assert "did [1]" in shown.stdout
    assert shown.stdout.count("checked: ") == 4
    assert shown.stdout.endswith("All of it held.\n")
    assert list(tmp_path.iterdir()) == [log]


def test_without_a_log_it_generates_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "a generated log of 300 orders" in shown
    assert shown.endswith("All of it held.\n")


def test_it_says_which_row_of_a_log_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv").write_text("stream,type,time\n,x,2024-05-01\n")
    assert main(["--input", str(tmp_path / "log.csv")]) == 1
    assert "line 2 has no 'stream'" in capsys.readouterr().out


def test_a_log_that_is_not_there_is_a_mistake_of_the_caller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--input", str(tmp_path / "log.csv")])
    assert refused.value.code == 2
    assert "No such file" in capsys.readouterr().err


def test_columns_of_no_log_are_a_mistake_of_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--stream-column", "order"])
    assert refused.value.code == 2
    assert "columns are named (order), but no --input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "head", "columns"),
    [
        ("a.csv", "Case ID,Activity,Timestamp,cost", Columns("Case ID", "Activity", "Timestamp")),
        ("a.csv", "case:concept:name,concept:name,org:group", Columns("case:concept:name", "concept:name", None)),
        ("a.tsv", "order\tevent\tat", Columns("order", "event", "at")),
        ("a.jsonl", '{"entity": "e", "action": "a"}', Columns("entity", "action", None)),
        ("a.csv", "stream,type,time,sku", Columns("stream", "type", "time")),
        (
            "a.jsonl",
            '{"stream": "s", "type": "t", "time": "2024-05-01"}',
            Columns("stream", "type", "time", "tags", "metadata", "schema_version"),
        ),
    ],
)
def test_columns_are_known_by_their_names(tmp_path: Path, name: str, head: str, columns: Columns) -> None:
    (tmp_path / name).write_text(head + "\n")
    parser = ArgumentParser()
    add_arguments(parser)
    with chosen_log(parser.parse_args(["--input", str(tmp_path / name)]), orders=1) as log:
        assert log.columns == columns


def test_a_generated_log_is_the_same_each_time() -> None:
    once, again = (list(generated_log(60).rows()) for _ in range(2))
    assert once == again
    assert len({row.stream_id for row in once}) == 60
    assert any(row.line != number for number, row in enumerate(once, 2))  # some cells hold line breaks
