"""What a benchmark is told: how much to do, how often, for how long, and where its files may lie meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self


@dataclass(frozen=True)
class Setting:
    """How thoroughly to measure.

    Attributes:
        directory: where files may lie while a benchmark runs; what is measured is also its disk.
        share: of the full counts, how much is done.
        rounds: how often every contender is measured at most.
        seconds: after how long a table begins no further round.
        trace: a recorded editing session for the text benchmarks; None: one is generated.
    """

    directory: Path
    share: float = 1.0
    rounds: int = 5
    seconds: float = 20.0
    trace: Path | None = None

    def count(self, full: int, least: int = 1) -> int:
        """Return how many of `full` things to do."""
        return max(least, round(full * self.share))

    def duration(self, full: float) -> float:
        """Return for how many seconds to do something that is measured by the clock."""
        return full * min(1.0, self.share)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Lend an empty folder, and remove it with all that is in it."""
        with TemporaryDirectory(dir=self.directory) as name:
            yield Path(name)

    def in_folder(self, measure: Callable[[Path], float]) -> Callable[[], float]:
        """Return a function that measures in an empty folder, and leaves nothing."""

        def measure_in_folder() -> float:
            with self.folder() as folder:
                return measure(folder)

        return measure_in_folder

    def once(self) -> Self:
        """Return the same for what needs no repetition."""
        return replace(self, rounds=1)
