"""How tables are shown: with rich on a terminal that has it, as plain text otherwise."""

import sys
from collections.abc import Sequence
from statistics import median
from textwrap import wrap

from benchmarks.table import Row, Table, Unit

try:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid
except ImportError:  # an extra
    HAS_RICH = False
else:
    HAS_RICH = True

_HEADINGS = ("", "median", "range", "ours is", "range", "target", "met")


def show(table: Table) -> None:
    """Print a table."""
    if HAS_RICH and sys.stdout.isatty():
        _show_rich(table)
    else:
        print(as_text(table), flush=True)


def as_text(table: Table) -> str:
    """Return a table as plain text, with its note."""
    lines = [_HEADINGS, *(_cells(row, table.unit) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    text = [f"\n{_title(table)}"]
    text += ["  " + "  ".join(_padded(line, widths)).rstrip() for line in lines]
    text += [f"  {line}" for line in wrap(table.note, 110)]
    return "\n".join(text)


def summary(tables: Sequence[Table]) -> str:
    """Return how many targets were met in this run, and which were not."""
    met = sum(sum(table.verdicts) for table in tables)
    count = sum(len(table.verdicts) for table in tables)
    lines = [f"\n{met} of {count} targets met in this run."]
    for table in tables:
        missed = [row for row in table.rows if row.met(table.unit) is False]
        lines += [f"  not met: {table.title}: {row.name}: {_shortfall(row, table.unit)}" for row in missed]
    return "\n".join(lines)


def _shortfall(row: Row, unit: Unit) -> str:
    cells = _cells(row, unit)
    return f"{cells[3] or cells[1]}, target {cells[5]}"


def _title(table: Table) -> str:
    return f"{table.title} ({table.rounds} round{'s' if table.rounds > 1 else ''})"


def _cells(row: Row, unit: Unit) -> tuple[str, ...]:
    met = row.met(unit)
    ratio, ratio_range = ("", "") if not row.ratios else (f"{median(row.ratios):,.2f} x", _span(row.ratios))
    return (
        row.name,
        unit.shown(median(row.figures)),
        f"{_plain(unit, min(row.figures))} to {_plain(unit, max(row.figures))}",
        ratio,
        ratio_range,
        _target(row, unit),
        "" if met is None else "yes" if met else "NO",
    )


def _plain(unit: Unit, figure: float) -> str:
    return unit.shown(figure).removesuffix(f" {unit.name}")


def _span(ratios: Sequence[float]) -> str:
    return f"{min(ratios):,.2f} to {max(ratios):,.2f}"


def _target(row: Row, unit: Unit) -> str:
    if row.target is not None:
        return f"≥ {row.target:.3g} x"
    if row.bound is not None:
        return f"{'≤' if unit.lower_is_better else '≥'} {unit.shown(row.bound)}"
    return ""


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = [(cell, width) for cell, width in zip(line, widths, strict=True)]
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def _show_rich(table: Table) -> None:
    grid = Grid(
        box=box.SIMPLE_HEAD,
        title=escape(_title(table)),
        caption=escape(table.note),
        title_justify="left",
        caption_justify="left",
    )
    for heading in _HEADINGS:
        grid.add_column(heading, justify="right" if heading else "left")
    for row in table.rows:
        *cells, met = _cells(row, table.unit)
        style = {"yes": "green", "NO": "bold red"}.get(met, "")
        grid.add_row(*map(escape, cells), f"[{style}]{met}[/]" if style else met)
    console = Console()
    console.print()
    console.print(grid)
