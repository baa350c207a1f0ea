"""`python -m benchmarks [GROUP …]`: measure, and print a table for each comparison."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import (
    crdt_states,
    crdts,
    domain,
    flow,
    journal,
    journal_peers,
    nats,
    postgres,
    projections,
    replication,
    text_traces,
)
from benchmarks.rendering import show, summary
from benchmarks.setting import Setting
from benchmarks.table import Benchmark, Table

GROUPS: Mapping[str, Sequence[Benchmark]] = {
    "journal": (*journal.BENCHMARKS, *journal_peers.BENCHMARKS),
    "crdts": (*crdts.BENCHMARKS, *crdt_states.BENCHMARKS),
    "domain": domain.BENCHMARKS,
    "flow": flow.BENCHMARKS,
    "nats": nats.BENCHMARKS,
    "postgres": postgres.BENCHMARKS,
    "projections": projections.BENCHMARKS,
    "replication": replication.BENCHMARKS,
    "text": text_traces.BENCHMARKS,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments select, and print what came out."""
    parser = _parser()
    options = parser.parse_args(arguments)
    selected = [benchmark for name in options.groups or GROUPS for benchmark in GROUPS[name]]
    if options.tables:
        names = [benchmark.__name__ for benchmark in selected]
        for unknown in [name for name in options.tables if name not in names]:
            parser.error(f"there is no table {unknown!r} here; there are {' '.join(names)}")
        selected = [benchmark for benchmark in selected if benchmark.__name__ in options.tables]
    began = time.monotonic()
    with TemporaryDirectory(prefix="calliope-benchmarks-", dir=options.directory) as folder:
        setting = _setting(options, Path(folder))
        tables = [_shown(benchmark(setting)) for benchmark in selected]
    print(summary(tables))
    print(f"{len(tables)} tables in {time.monotonic() - began:.0f} s.{_disturbance()}")
    return 0


def _shown(table: Table) -> Table:
    show(table)
    return table


def _disturbance() -> str:
    """Say how many others wanted the processors, where the system tells."""
    if not hasattr(os, "getloadavg"):
        return ""
    load, processors = os.getloadavg()[1], os.cpu_count()
    return f" The load was {load:.1f} on {processors} processors; measuring alone makes about 1."


def _setting(options: argparse.Namespace, folder: Path) -> Setting:
    if options.quick:
        return Setting(folder, share=0.1, rounds=3, seconds=1.5, trace=options.trace)
    return Setting(folder, trace=options.trace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], metavar="GROUP", help=" ".join(GROUPS))
    parser.add_argument("--table", dest="tables", action="append", default=[], help="only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a minute for all, with less to rely on")
    parser.add_argument("--directory", type=Path, help="where files lie meanwhile: the disk that is measured")
    parser.add_argument("--trace", type=Path, help="a recorded editing session for the text benchmarks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
