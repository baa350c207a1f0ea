"""User code with streams is understood by mypy in strict mode."""

from pathlib import Path

from mypy import api

PIPELINES = Path(__file__).with_name("typed_pipelines.py")
MISTAKES = """
from calliope.flow import Flow, Sink, Source

numbers = Source.of(1, 2, 3)
numbers.map(str.upper)
numbers.via(Flow[str, str]())
numbers.to(Sink[str, None](Sink.drain().consume))
numbers.buffer(3, "block")
numbers.map_async(str, parallelism=2)
"""


def test_types_come_out_of_stages_as_stated_and_stages_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    mistakes = tmp_path / "mistakes.py"
    mistakes.write_text(MISTAKES)
    report, errors, _ = api.run(["--strict", f"--cache-dir={tmp_path}", str(PIPELINES), str(mistakes)])
    found = [line.rpartition("mistakes.py:")[2] for line in report.splitlines() if ": error:" in line]
    assert [line.partition(":")[0] for line in found] == ["5", "6", "7", "8", "9"], report + errors
