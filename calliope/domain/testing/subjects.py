"""What scenarios are about: something that has a past, is given something, and answers."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from calliope.domain.decider import Decider

Given = TypeVar("Given", contravariant=True)
When = TypeVar("When", contravariant=True)
Then = TypeVar("Then", covariant=True)


class Subject(Protocol[Given, When, Then]):
    """Something that can be tested in scenarios.

    A process manager takes events as its past and an event now, and answers with commands and deadlines. A projection
    takes events, and answers with the rows of its view.
    """

    def outcome(self, given: Sequence[Given], when: Sequence[When], /) -> Sequence[Then]:
        """Return what comes of `when`, one after the other, in a subject whose past is `given`.

        Raises:
            Exception: it is refused.
        """
        ...


class AsyncSubject(Protocol[Given, When, Then]):
    """As `Subject`, for what has to wait, such as a projection into a database."""

    async def outcome(self, given: Sequence[Given], when: Sequence[When], /) -> Sequence[Then]:
        """Return what comes of `when`, as `Subject.outcome` does."""
        ...


class DeciderSubject:
    """A decider in scenarios: events are given, commands come, events follow.

    Args:
        decider: the decider.
    """

    def __init__(self, decider: Decider[Any, Any, Any]) -> None:
        self._decider = decider

    def outcome(self, given: Sequence[Any], when: Sequence[Any], /) -> Sequence[Any]:
        """Return the events that all the commands lead to, each decided in the state after those before."""
        state = self._decider.state_of(given)
        happened: list[Any] = []
        for command in when:
            events = self._decider.events_of(command, state)
            state = self._decider.state_after(events, state)
            happened += events
        return happened
