"""`AsyncScenario`: scenarios about what has to wait; only `then` and `rejected` are awaited."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.domain.rejection import Rejection
from calliope.domain.testing.scenario import Outcome, listed
from calliope.domain.testing.story import Story
from calliope.domain.testing.subjects import AsyncSubject

Given = TypeVar("Given")
When = TypeVar("When")
Then = TypeVar("Then")


class AsyncOutcome(Generic[Given, When, Then]):
    """What will come of it; await what you expect. Until you do, nothing happens.

    Args:
        subject: whom it is about.
        story: what leads to it.
    """

    def __init__(self, subject: AsyncSubject[Given, When, Then], story: Story) -> None:
        self._subject = subject
        self._story = story

    async def then(self, *expected: Then | Sequence[Then]) -> None:
        """Check that exactly this comes of it, as `Outcome.then` does."""
        __tracebackhide__ = True
        (await self._outcome()).then(*expected)

    async def rejected(self, *reasons: str, error: type[Exception] = Rejection) -> None:
        """Check that it is refused, as `Outcome.rejected` does."""
        __tracebackhide__ = True
        (await self._outcome()).rejected(*reasons, error=error)

    async def _outcome(self) -> Outcome[Then]:
        try:
            return Outcome(self._story, await self._subject.outcome(self._story.given, self._story.when), None)
        except Exception as error:
            return Outcome(self._story, (), error)


class AsyncPast(Generic[Given, When, Then]):
    """A subject to which something has happened.

    Args:
        subject: whom it is about.
        given: what has happened.
    """

    def __init__(self, subject: AsyncSubject[Given, When, Then], given: Sequence[Given]) -> None:
        self._subject = subject
        self._given = given

    def when(self, *stimuli: When | Sequence[When]) -> AsyncOutcome[Given, When, Then]:
        """Return what will come of something, or of several things one after the other."""
        return AsyncOutcome(self._subject, Story(self._given, listed(stimuli)))

    async def then(self, *expected: Then | Sequence[Then]) -> None:
        """Check what is there when nothing comes after the past: the view of a projection."""
        __tracebackhide__ = True
        await self.when().then(*expected)


class AsyncScenario(Generic[Given, When, Then]):
    """Tells what should happen to a subject that has to wait.

    Args:
        subject: whatever has the method of `AsyncSubject`.
    """

    def __init__(self, subject: AsyncSubject[Given, When, Then]) -> None:
        self._subject = subject

    def given(self, *events: Given | Sequence[Given]) -> AsyncPast[Given, When, Then]:
        """Return the subject after these events; one argument may be a list or tuple of them."""
        return AsyncPast(self._subject, listed(events))

    def when(self, *stimuli: When | Sequence[When]) -> AsyncOutcome[Given, When, Then]:
        """Return what will come of something when nothing has happened before."""
        return self.given().when(*stimuli)
