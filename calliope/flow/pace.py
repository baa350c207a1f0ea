"""Fairness: streams that never wait let other tasks run once in a while.

A fold over a range never suspends by itself, so nothing else would run, and nobody could cancel it, until
it is done. Sources of ready elements therefore look at the time once per chunk and give way when this
thread's streams have run for `SLICE_SECONDS` without doing so. One look costs some 50 ns a chunk, one pause
some microseconds a millisecond.
"""

from threading import local
from time import perf_counter

from anyio.lowlevel import checkpoint

SLICE_SECONDS = 0.001
"""How long the streams of one thread may run before other tasks get their turn."""


class _Pace(local):
    due = 0.0


_pace = _Pace()


async def give_way() -> None:
    """Let other tasks run, and a cancellation arrive, if none has for a millisecond."""
    if perf_counter() < _pace.due:
        return
    await checkpoint()
    _pace.due = perf_counter() + SLICE_SECONDS
