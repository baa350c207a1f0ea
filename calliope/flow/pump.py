"""Pulling in the background: what a stage needs that has more than one thing to wait for.

A pull cannot be given up and taken up again, so whoever may have to turn away from it (to look at another
inlet, at the clock, at a consumer) lets a `Pump` do it, a background task that pulls *when it is told to*:
nothing runs ahead of demand by itself. The pump tells its owner of every change by a plain function call;
the owner waits for such calls with a `Signal`.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio

from calliope.flow import host
from calliope.flow.by_hand import is_by_hand
from calliope.flow.closing import close
from calliope.flow.inlet import Inlet

T = TypeVar("T")


class Signal:
    """Wakes one waiting task; a signal that comes before the wait is not lost."""

    def __init__(self) -> None:
        self._is_set = False
        self._wake_up: host.WakeUp | None = None

    def set(self) -> None:
        """Wake the task that waits, or the next one that does."""
        self._is_set = True
        if self._wake_up is not None:
            self._wake_up.set()

    async def wait(self) -> None:
        """Return when `set` has been called since the last wait."""
        if not self._is_set:
            self._wake_up = host.wake_up()
            try:
                await self._wake_up.wait()
            finally:
                self._wake_up = None
        self._is_set = False


async def offered(signal: Signal, offer: Callable[[int], Sequence[T] | None], limit: int) -> Sequence[T]:
    """Return what `offer(limit)` has, waiting for the signal for as long as it has None."""
    while (chunk := offer(limit)) is None:
        await signal.wait()
    return chunk


class Pump(Generic[T]):
    """Pulls an inlet in a task of its own, one chunk for each request, and closes it in that task.

    Args:
        inlet: what to pull; it belongs to the pump.
        changed: called when a chunk, the end or an error has come.
    """

    def __init__(self, inlet: Inlet[T], changed: Callable[[], None]) -> None:
        self._inlet = inlet
        self._changed = changed
        self._chunk: Sequence[T] = ()
        self._wanted = 0
        self._wake = Signal()
        self._task: host.Background | None = None
        self._pulling = False
        self._stopped = False
        self._closed = False
        self._ended = False
        self.error: BaseException | None = None
        self._closing_error: BaseException | None = None

    @property
    def waiting(self) -> int:
        """How many elements have come and not been taken."""
        return len(self._chunk)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be taken and nothing more will come."""
        return self._ended and not self._chunk

    def check(self) -> None:
        """Raise the error that upstream ended with, once the elements before it have been taken."""
        if self.error is not None and not self._chunk:
            raise self.error

    def request(self, limit: int) -> None:
        """Start a pull, unless one is under way, its elements have not all been taken, or all has ended."""
        if self._wanted or self._pulling or self._chunk or self._ended or self._stopped:
            return
        self._wanted = limit
        if self._task is None:
            self._task = host.start(self._run)
        else:
            self._wake.set()

    def take(self, limit: int) -> Sequence[T]:
        """Return elements that have come, at most `limit`."""
        taken = self._chunk if len(self._chunk) <= limit else self._chunk[:limit]
        self._chunk = self._chunk[len(taken) :]
        return taken

    async def _run(self) -> None:
        try:
            while not (self._ended or self._stopped):
                if self._wanted:
                    await self._pull()
                else:
                    await self._wake.wait()
        except anyio.get_cancelled_exc_class() as error:
            if not self._stopped:
                self.error = error
            raise
        except BaseException as error:
            self._record(error)
        finally:
            await self._end()

    async def _pull(self) -> None:
        self._pulling = True
        chunk = await self._inlet.pull(self._wanted)
        self._pulling, self._wanted = False, 0
        if chunk:
            self._chunk = chunk
            self._changed()
        else:
            self._ended = True

    async def _end(self) -> None:
        self._pulling = False
        try:
            await self._close()
        except Exception as error:
            self._record(error)
        finally:
            self._ended = True
            self._changed()

    def _record(self, error: BaseException) -> None:
        if self._stopped:
            self._closing_error = self._closing_error or error
        else:
            self.error = self.error or error

    async def _close(self) -> None:
        if not self._closed:
            self._closed = True
            await close(self._inlet)

    async def aclose(self) -> None:
        """End the pull that is under way, if any, and return when the inlet is closed.

        By hand, the inlet is closed here if it is not being pulled, and otherwise by the task that pulls it.
        """
        self._stopped = True
        self._chunk, self.error = (), None
        self._wake.set()
        if self._task is None or (is_by_hand() and not self._pulling):
            await self._close()
            return
        if self._pulling:
            self._task.cancel()
        if not is_by_hand():
            await self._aclose_task(self._task)

    async def _aclose_task(self, task: host.Background) -> None:
        with anyio.CancelScope(shield=True):
            await task.wait()
        error, self._closing_error = self._closing_error, None
        if error is not None:
            raise error
