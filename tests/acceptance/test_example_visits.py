"""The counter of `examples/visits`."""

import re

import pytest

from tests.acceptance.examples_run import run_example


def test_the_bell_rings_when_both_doors_together_have_counted_enough_and_all_agree_in_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_example("visits", "--visitors", 50, "--ring-at", 70) == ""
    *story, north, south, bell = capsys.readouterr().out.splitlines()
    assert [north, south, bell] == ["north: 100 visitors", "south: 100 visitors", "bell: 100 visitors"]
    assert {"north: all 50 of this door are in", "south: all 50 of this door are in"} < set(story)
    (rang,) = (line for line in story if line.startswith("bell"))
    found = re.fullmatch(r"bell: rings at (\d+), after [\d.]+ s and (\d+) looks", rang)
    assert found is not None
    value, looks = map(int, found.groups())
    assert 70 <= value <= 100
    assert looks <= 100, "it looked without a change"


def test_a_bell_that_would_never_ring_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_example("visits", "--visitors", 5, "--ring-at", 11) == "2"
    told = capsys.readouterr()
    assert told.out == ""
    assert "--ring-at must be 1 to 10, how many come in, not 11" in told.err
