"""Delivering commands: who answers them, what a rejection is, how often a failure is tried again."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import random as any_chance
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

from calliope.domain.errors import CommandExpiredError
from calliope.domain.rejection import Rejection
from calliope.flow import Backoff, Clock
from calliope.flow.arguments import check_callable, check_count
from calliope.flow.clock import LOOP_CLOCK, check_clock

_logger = logging.getLogger(__name__)

_COMMANDS = uuid5(NAMESPACE_URL, "urn:calliope:command")


class Deliver(Protocol):
    """Carries out a command, such as `repository.execute`.

    It recognises a command that comes again by its id, and raises a rejection or any other error.
    """

    def __call__(self, stream_id: str, command: Any, /, *, command_id: str) -> Awaitable[object]:
        """Return when the command is carried out durably."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        reasons: why it was rejected, or None.
        error: why it failed, again and again, or None.
    """

    reasons: tuple[str, ...] | None = None
    error: str | None = None


class Delivery:
    """Delivers one command at a time, trying again what fails.

    Args:
        deliver: carries out a command.
        rejections: the exceptions that are answers. Everything else is a failure and is tried again.
        attempts: how often a command is tried before it is given up.
        backoff: the pauses between.
        clock: measures the pauses.
        chance: gives random numbers from 0 to 1, which spread the pauses.
    """

    def __init__(
        self,
        deliver: Deliver,
        *,
        rejections: type[Exception] | tuple[type[Exception], ...] = (Rejection, CommandExpiredError),
        attempts: int = 8,
        backoff: Backoff = Backoff(),  # noqa: B008 - it is frozen
        clock: Clock = LOOP_CLOCK,
        chance: Callable[[], float] = any_chance,
    ) -> None:
        check_callable("deliver", deliver)
        check_count("attempts", attempts)
        check_clock(clock)
        self._deliver = deliver
        self._rejections = rejections
        self._attempts = attempts
        self._backoff = backoff
        self._clock = clock
        self._chance = chance

    async def outcome_of(self, to: str, command: object, command_id: str) -> Outcome:
        """Deliver a command until it is answered or given up.

        Cancellation leaves it delivered or not; delivering it again with the same id is safe.
        """
        for failures in range(1, self._attempts + 1):
            try:
                await self._deliver(to, command, command_id=command_id)
            except self._rejections as rejection:
                return Outcome(reasons=reasons_of(rejection))
            except Exception as error:
                if failures == self._attempts:
                    return Outcome(error=f"{type(error).__name__}: {error}")
                _logger.info("command %s to %r failed and is tried again: %r", command_id, to, error)
            else:
                return Outcome()
            await self._clock.sleep(self._backoff.pause_seconds(failures, self._chance()))
        raise AssertionError("unreachable: the last attempt returns")


def routed(routes: Mapping[type, Deliver]) -> Deliver:
    """Return what hands each command to the one who takes its class.

    Args:
        routes: for a class of commands, and its subclasses, who carries them out.
    """
    by_class = dict(routes)

    def deliver(stream_id: str, command: object, /, *, command_id: str) -> Awaitable[object]:
        for command_class in type(command).__mro__:
            if command_class in by_class:
                return by_class[command_class](stream_id, command, command_id=command_id)
        known = ", ".join(command_class.__name__ for command_class in by_class)
        raise TypeError(f"nobody takes {type(command).__name__}; known are {known}")

    return deliver


def derived_id(*parts: object) -> str:
    """Return an id that is the same whenever and wherever it is derived from the same parts."""
    return str(uuid5(_COMMANDS, "\0".join(map(str, parts))))


def reasons_of(rejection: Exception) -> tuple[str, ...]:
    """Return why a command was rejected: the exception's `reasons`, or what it says."""
    reasons = getattr(rejection, "reasons", None)
    if isinstance(reasons, (list, tuple)) and reasons:
        return tuple(map(str, reasons))
    return (str(rejection) or type(rejection).__name__,)
