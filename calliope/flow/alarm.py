"""An alarm, for stages that wait for time and for elements at once."""

from collections.abc import Callable

import anyio

from calliope.flow import host
from calliope.flow.clock import Clock


class Alarm:
    """Tells its owner when a time has come; one task sleeps for it, however often it is set.

    Args:
        clock: whose time it is.
        ring: called when the time has come.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: float | None = None
        self._has_rung = False
        self._task: host.Background | None = None
        self._sleeps = False
        self._error: BaseException | None = None

    @property
    def is_set(self) -> bool:
        """Whether it has been set and not cleared since."""
        return self._at is not None

    @property
    def has_rung(self) -> bool:
        """Whether the time that it is set to has come; raises what the clock has raised."""
        if self._error is not None:
            raise self._error
        return self._has_rung

    def set(self, seconds: float) -> None:
        """Set it to that many seconds from now, which must not be before a time it was set to earlier."""
        self._at = self._clock.now() + seconds
        self._has_rung = False
        if not self._sleeps:
            self._sleeps = True
            self._task = host.start(self._run)

    def clear(self) -> None:
        """Make it forget its time; the sleeping task finds out when it wakes."""
        self._at = None
        self._has_rung = False

    async def _run(self) -> None:
        try:
            await self._sleep()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self._error = error
        finally:
            self._sleeps = False
            self._ring()

    async def _sleep(self) -> None:
        while self._at is not None:
            at = self._at
            await self._clock.sleep(at - self._clock.now())
            # Rounding may wake us a hair too early, so what counts is that the sleep is over, not what time it is.
            if at == self._at:
                self._has_rung = True
                return

    async def aclose(self) -> None:
        """End the sleeping task."""
        self._at = None
        if self._task is not None:
            await host.end(self._task)
