"""Tables of figures: contenders measured in turn, round by round, and compared within each round.

Machines are noisy, and shared. So every round measures each contender once, each round begins with another of them,
and a ratio is always one of two figures of the same round. What is shown is the median over the rounds, and the range.

The first contender of a table is ours. Every other row says how many times as good ours is as that one: above 1, ours
is better, whether the unit is one of speed or of cost.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.setting import Setting


@dataclass(frozen=True)
class Unit:
    """What figures count.

    Attributes:
        name: as it is written behind a figure.
        lower_is_better: whether it is a cost, and not a speed.
    """

    name: str
    lower_is_better: bool = False

    def shown(self, figure: float) -> str:
        """Return a figure to three digits, with its unit."""
        size = abs(figure)
        digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
        return f"{figure:,.{digits}f} {self.name}"

    def advantage(self, ours: float, theirs: float) -> float:
        """Return how many times as good our figure is as theirs."""
        return theirs / ours if self.lower_is_better else ours / theirs


EVENTS_PER_SECOND = Unit("events/s")
ELEMENTS_PER_SECOND = Unit("elements/s")
OPERATIONS_PER_SECOND = Unit("operations/s")
MILLISECONDS = Unit("ms", lower_is_better=True)
BYTES = Unit("bytes", lower_is_better=True)


@dataclass(frozen=True)
class Contender:
    """Something to be measured.

    Attributes:
        name: what it is, in a few words.
        measure: does it once and returns the figure, having prepared outside of what it measures.
        target: for others: how many times as good as this ours should be.
        bound: for ours: the best that a figure of speed should reach, or the most that a cost may be.
    """

    name: str
    measure: Callable[[], float]
    target: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Row:
    """One contender's figures.

    Attributes:
        name: the contender.
        figures: one a round.
        ratios: how many times as good ours was, one a round; none in our own row.
        target: as of the contender.
        bound: as of the contender.
    """

    name: str
    figures: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    target: float | None = None
    bound: float | None = None

    def met(self, unit: Unit) -> bool | None:
        """Tell whether the median met the target in this run; None: there is none."""
        if self.target is not None:
            return median(self.ratios) >= self.target
        if self.bound is not None:
            figure = median(self.figures)
            return figure <= self.bound if unit.lower_is_better else figure >= self.bound
        return None


@dataclass(frozen=True)
class Table:
    """What one comparison came to.

    Attributes:
        title: what was done.
        unit: of all figures.
        rows: ours first.
        note: what exactly is compared, and with which settings.
    """

    title: str
    unit: Unit
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def verdicts(self) -> list[bool]:
        """Whether each target was met."""
        return [met for row in self.rows if (met := row.met(self.unit)) is not None]

    @property
    def rounds(self) -> int:
        """How often everything was measured."""
        return len(self.rows[0].figures)


Benchmark = Callable[[Setting], Table]
"""Measures one thing."""


@dataclass
class _Figures:
    """What one contender has reached so far."""

    contender: Contender
    figures: list[float] = field(default_factory=list)


def compare(setting: Setting, title: str, unit: Unit, contenders: Sequence[Contender], note: str = "") -> Table:
    """Measure contenders in turn until the rounds or the time are used up, and return the table.

    Args:
        setting: how many rounds, and for how long; one round is always finished.
        title: what is done.
        unit: of the figures that the contenders return.
        contenders: ours first.
        note: what is compared.
    """
    gathered = [_Figures(contender) for contender in contenders]
    deadline = time.monotonic() + setting.seconds
    for number in range(setting.rounds):
        first = number % len(gathered)
        for entry in gathered[first:] + gathered[:first]:
            entry.figures.append(_measured(entry.contender))
        if time.monotonic() > deadline:
            break
    ours, *others = gathered
    rows = [Row(ours.contender.name, tuple(ours.figures), bound=ours.contender.bound)]
    for other in others:
        ratios = tuple(map(unit.advantage, ours.figures, other.figures))
        rows.append(Row(other.contender.name, tuple(other.figures), ratios, other.contender.target))
    return Table(title, unit, tuple(rows), note)


def _measured(contender: Contender) -> float:
    """Measure a contender; the garbage collector does not look at what others have imported or prepared before."""
    gc.collect()
    gc.freeze()
    try:
        return contender.measure()
    finally:
        gc.unfreeze()
