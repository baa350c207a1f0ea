"""`python -m replication.testing SEED`: what a seed has drawn, and all that happens under it."""

import sys
from argparse import ArgumentParser

from replication.testing.plan import draw, draw_newcomers
from replication.testing.promises import SimulationError
from replication.testing.schedule import Schedule


def main() -> int:
    """Run a random schedule, and show its trace; return 1 if a promise was broken."""
    parser = ArgumentParser("python -m replication.testing", description="Run the random schedule of a seed again.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--newcomers", action="store_true", help="snapshots are taken over all the time")
    parser.add_argument("--quiet", action="store_true", help="show only how it ends")
    arguments = parser.parse_args()
    plan, show = draw_newcomers if arguments.newcomers else draw, None if arguments.quiet else _show
    schedule = Schedule(arguments.seed, draw_plan=plan, is_detailed=True, show=show)
    if not arguments.quiet:
        _show(schedule.plan)
    try:
        _show(schedule.run())
    except SimulationError as error:
        _show(str(error).splitlines()[0])
        return 1
    return 0


def _show(line: object) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
