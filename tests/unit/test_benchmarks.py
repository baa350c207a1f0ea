"""Every benchmark runs, at tiny size: they must not rot. What they measure is never asserted.

Many start processes or servers, so `make test` runs the first of each group and `make soak` the others.
"""

import gc
from math import isfinite

import pytest

from benchmarks.__main__ import GROUPS, main
from benchmarks.rendering import as_text, summary
from benchmarks.setting import Setting
from benchmarks.table import BYTES, EVENTS_PER_SECOND, Contender, Row, Table, Unit, compare

BENCHMARKS = [
    pytest.param(benchmark, id=f"{name}-{benchmark.__name__}", marks=[pytest.mark.soak] * (number > 0))
    for name, benchmarks in GROUPS.items()
    for number, benchmark in enumerate(benchmarks)
]


@pytest.fixture(autouse=True)
def uncollected(monkeypatch):
    """Collect no garbage before each measurement: in a process with all the other tests it takes a second."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_benchmark_gives_a_table_and_leaves_no_files(benchmark, tmp_path):
    table = benchmark(Setting(tmp_path, share=0.0002, rounds=1))

    assert table.title
    assert all(isfinite(figure) and figure != 0 for row in table.rows for figure in row.figures)
    assert not table.rows[0].ratios
    assert all(len(row.ratios) == len(row.figures) == table.rounds for row in table.rows[1:])
    assert table.title in as_text(table)
    assert list(tmp_path.iterdir()) == []


def test_contenders_take_turns_and_each_round_begins_with_another(tmp_path):
    order = []

    def contender(name):
        return Contender(name, lambda: order.append(name) or 1.0)

    compare(Setting(tmp_path, rounds=3), "", EVENTS_PER_SECOND, [contender("a"), contender("b"), contender("c")])

    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]


def test_ratios_are_taken_within_a_round(tmp_path):
    ours, theirs = iter([10.0, 100.0]), iter([5.0, 25.0])
    contenders = [Contender("ours", lambda: next(ours)), Contender("theirs", lambda: next(theirs))]

    table = compare(Setting(tmp_path, rounds=2), "", EVENTS_PER_SECOND, contenders)

    assert table.rows[1].ratios == (2.0, 4.0)


def test_a_lower_cost_is_an_advantage():
    assert BYTES.advantage(ours=50, theirs=100) == 2
    assert EVENTS_PER_SECOND.advantage(ours=50, theirs=100) == 0.5


def test_no_further_round_begins_after_the_time_is_up(tmp_path):
    table = compare(Setting(tmp_path, rounds=5, seconds=0), "", EVENTS_PER_SECOND, [Contender("ours", lambda: 1.0)])

    assert table.rounds == 1


@pytest.mark.parametrize(
    ("row", "unit", "met"),
    [
        (Row("", (1.0, 9.0, 2.0), (0.1, 0.7, 0.6), target=0.6), EVENTS_PER_SECOND, True),
        (Row("", (1.0, 9.0, 2.0), (0.1, 0.7, 0.5), target=0.6), EVENTS_PER_SECOND, False),
        (Row("", (199.0, 201.0, 200.0), bound=200), BYTES, True),
        (Row("", (199.0, 201.0, 202.0), bound=200), BYTES, False),
        (Row("", (199.0,), bound=200), EVENTS_PER_SECOND, False),
        (Row("", (1.0,)), BYTES, None),
    ],
)
def test_a_target_is_met_by_the_median(row, unit, met):
    assert row.met(unit) is met


def test_a_table_shows_medians_ranges_ratios_and_targets():
    table = Table(
        "Racing",
        Unit("laps"),
        (Row("ours", (10.0, 12.0, 90.0)), Row("theirs", (5.0, 6.0, 7.0), (2.0, 2.5, 1.5), target=2)),
        "On one track.",
    )

    assert as_text(table).splitlines() == [
        "",
        "Racing (3 rounds)",
        "             median         range  ours is         range  target  met",
        "  ours    12.0 laps  10.0 to 90.0",
        "  theirs  6.00 laps  5.00 to 7.00   2.00 x  1.50 to 2.50   ≥ 2 x  yes",
        "  On one track.",
    ]


def test_the_summary_names_what_was_missed():
    missed = Row("theirs", (5.0,), (0.5,), target=0.6)
    table = Table("Racing", Unit("laps"), (Row("ours", (1.0,)), missed, Row("others", (1.0,), (1.0,), target=1)))

    assert summary([table]).splitlines() == [
        "",
        "1 of 2 targets met in this run.",
        "  not met: Racing: theirs: 0.50 x, target ≥ 0.6 x",
    ]


def test_an_unknown_group_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["jornal"])

    assert "jornal" in capsys.readouterr().err


def test_single_tables_are_selected_by_name(capsys, monkeypatch):
    def racing(setting):
        return Table("Racing", Unit("laps"), (Row("ours", (1.0,)),))

    def walking(setting):
        return Table("Walking", Unit("steps"), (Row("ours", (1.0,)),))

    monkeypatch.setitem(GROUPS, "text", (racing, walking))

    assert main(["text", "--table", "walking"]) == 0

    shown = capsys.readouterr().out
    assert "Walking" in shown
    assert "Racing" not in shown


def test_an_unknown_table_is_refused_and_those_that_exist_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["replication", "--table", "idlin"])

    error = capsys.readouterr().err
    assert "idlin" in error
    assert "newcomer" in error
