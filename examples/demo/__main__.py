"""`make demo`: three replicas, three processes, one machine; what they promise is shown, and checked.

    python -m examples.demo
    python -m examples.demo --input log.csv --stream-column order --type-column activity --time-column at
    python -m examples.demo --store postgres
    python -m examples.demo --store nats

It ends by itself in less than a minute and leaves nothing behind. It exits with 0 only if the three replicas are equal
in the end and hold everything that was acknowledged; with 1 if not, and says what is wrong; with 2 if it cannot begin.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import anyio
from anyio.abc import TaskStatus

from calliope import CalliopeError
from calliope.event_log import EventLogError
from calliope.owning import single_error
from examples.demo.acts import ACTS, Act
from examples.demo.acts.replaying import check_log
from examples.demo.clerk import Clerk
from examples.demo.cluster import Cluster
from examples.demo.display import CheckFailedError, Display
from examples.demo.remote_replica import CommandFailedError, ReplicaGoneError
from examples.demo.stage import Stage
from examples.demo.stores import Journals, Store, StoreError, check_installed
from examples.event_logs import Log, add_arguments, chosen_log

ORDERS = 150
"""How many orders the generated log has."""

SECONDS_MAX = 240.0
"""A replica that hangs does not hang the demonstration for longer."""


FAILURES = (
    *(CheckFailedError, CommandFailedError, ReplicaGoneError, StoreError),
    *(CalliopeError, TimeoutError, OSError),
)
"""What the demonstration may end with, other than being told to."""


class TerminatedError(Exception):
    """Somebody wants the demonstration to end.

    Attributes:
        number: the signal that says so.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.number = number
        super().__init__(f"ended by {number.name}")


async def demonstrate(
    log: Log, folder: Path, acts: Sequence[Act], display: Display, store: Store, journals: Journals
) -> None:
    """Perform the acts; the replicas are gone when this returns or raises."""
    with single_error():
        async with anyio.create_task_group() as tasks:
            stage = Stage(Cluster(folder, journals, tasks), Clerk(), display, log, store)
            await tasks.start(_end_when_told)
            with display.following(stage.cluster), anyio.fail_after(SECONDS_MAX):
                for act in acts:
                    await act(stage)
                    await display.pause()
            tasks.cancel_scope.cancel()


async def _end_when_told(*, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            raise TerminatedError(number)


def main(arguments: Sequence[str] | None = None, acts: Sequence[Act] = ACTS) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description="Shows what three replicas promise, and checks it."
    )
    add_arguments(parser)
    parser.add_argument(
        "--store",
        choices=[store.value for store in Store],
        default=Store.SQLITE.value,
        help="what keeps the journals, %(default)s if nothing is said; the others start a throw-away server",
    )
    options = parser.parse_args(arguments)
    store = Store(options.store)
    with ExitStack() as stack:
        try:
            check_installed(store)
        except StoreError as error:
            parser.error(str(error))
        try:
            log = stack.enter_context(chosen_log(options, orders=ORDERS))
            check_log(log)
        except (ValueError, EventLogError) as error:
            parser.error(str(error) if options.input is None else f"{options.input}: {error}")
        return _performed(log, acts, Display(), store)


def _performed(log: Log, acts: Sequence[Act], display: Display, store: Store) -> int:
    """Return what to exit with."""
    begun = perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="calliope-") as folder, store.journals(Path(folder)) as journals:
            anyio.run(demonstrate, log, Path(folder), acts, display, store, journals)
    except FAILURES as failure:
        display.failed(f"\n{failure}")
        return 1
    except TerminatedError as ended:
        display.failed(f"\n{ended}; nothing runs any more")
        return 128 + ended.number
    except KeyboardInterrupt:
        display.failed("\ninterrupted; nothing runs any more")
        return 130
    display.act(f"All of it held, in {perf_counter() - begun:.0f} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
