"""`Scenario`: given a past, when something comes, then this is what follows."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from calliope.domain.decider import Decider
from calliope.domain.rejection import Rejection
from calliope.domain.testing.story import Story
from calliope.domain.testing.subjects import DeciderSubject, Subject

Given = TypeVar("Given")
When = TypeVar("When")
Then = TypeVar("Then")
Command = TypeVar("Command")
Event = TypeVar("Event")


class Outcome(Generic[Then]):
    """What came of it; say what you expected. Until you do, nothing is checked.

    Args:
        story: what led to it.
        actual: what came.
        error: what was raised instead.
    """

    def __init__(self, story: Story, actual: Sequence[Then], error: Exception | None) -> None:
        self._story = story
        self._actual = actual
        self._error = error

    def then(self, *expected: Then | Sequence[Then]) -> None:
        """Check that exactly this came of it, in this order; nothing, if nothing is said.

        Raises:
            AssertionError: something else did.
            Exception: what the subject raised, with the story as a note.
        """
        __tracebackhide__ = True
        self._story.check_no_error(self._error)
        self._story.check_outcome(self._actual, listed(expected))

    def rejected(self, *reasons: str, error: type[Exception] = Rejection) -> None:
        """Check that it was refused.

        Args:
            reasons: exactly these, in this order; any, if none are given. Of an error that is no `Rejection` it is the
                message.
            error: the class of what was raised, or a base of it.

        Raises:
            AssertionError: it was not refused, or for other reasons.
            Exception: an error of another class that the subject raised.
        """
        __tracebackhide__ = True
        self._story.check_rejection(self._actual, self._error, reasons, error)


class Past(Generic[Given, When, Then]):
    """A subject to which something has happened.

    Args:
        subject: whom it is about.
        given: what has happened.
    """

    def __init__(self, subject: Subject[Given, When, Then], given: Sequence[Given]) -> None:
        self._subject = subject
        self._given = given

    def when(self, *stimuli: When | Sequence[When]) -> Outcome[Then]:
        """Return what comes of something, or of several things one after the other."""
        came = listed(stimuli)
        story = Story(self._given, came)
        try:
            return Outcome(story, self._subject.outcome(self._given, came), None)
        except Exception as error:
            return Outcome(story, (), error)

    def then(self, *expected: Then | Sequence[Then]) -> None:
        """Check what is there when nothing comes after the past: the view of a projection."""
        __tracebackhide__ = True
        self.when().then(*expected)


class Scenario(Generic[Given, When, Then]):
    """Tells what should happen to a subject; it keeps nothing, so one serves a whole test module.

    Args:
        subject: a decider, or whatever has the method of `Subject`.
    """

    @overload
    def __init__(self: "Scenario[Event, Command, Event]", subject: Decider[Any, Command, Event]) -> None: ...
    @overload
    def __init__(self, subject: Subject[Given, When, Then]) -> None: ...
    def __init__(self, subject: Any) -> None:
        self._subject: Subject[Given, When, Then] = DeciderSubject(subject) if isinstance(subject, Decider) else subject

    def given(self, *events: Given | Sequence[Given]) -> Past[Given, When, Then]:
        """Return the subject after these events; one argument may be a list or tuple of them."""
        return Past(self._subject, listed(events))

    def when(self, *stimuli: When | Sequence[When]) -> Outcome[Then]:
        """Return what comes of something when nothing has happened before."""
        return self.given().when(*stimuli)


def listed(arguments: Sequence[Any]) -> list[Any]:
    """Return what was given as arguments, or as one list or tuple: what scenarios are about is neither."""
    if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
        return list(arguments[0])
    return list(arguments)
