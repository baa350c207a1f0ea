"""What a replicated handle has observed, and sources that note what they hand out.

A version must descend the versions of all events that its writer had observed, or the order of versions would not be
the order of causes. So who observes an event observes what its writer had observed, too; all of that stands before it
in the stream.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from calliope.flow.inlet import EVERYTHING, Inlet
from calliope.reading import RecordDecoder
from calliope.stores.record import StoredRecord
from calliope.stores.run import Run
from crdts import VersionVector

T = TypeVar("T")


class Observed:
    """The counters of each writer that a handle has observed; they only grow."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}

    @property
    def version(self) -> VersionVector:
        """The counters as a version."""
        return VersionVector(self.counters)

    def note(self, version: Mapping[str, int]) -> None:
        """Observe an event of a version."""
        counters = self.counters
        for writer, counter in version.items():
            if counter > counters.get(writer, 0):
                counters[writer] = counter


class ObservingDecoder(RecordDecoder[T], Generic[T]):
    """Decodes records into elements that are observed when they are handed out.

    Args:
        decoder: decodes the records.
        observed: notes them.
    """

    def __init__(self, decoder: RecordDecoder[T], observed: Observed) -> None:
        self._decoder = decoder
        self._observed = observed

    def all_decoded(self, run: Run) -> list[T] | None:
        """Return nothing: elements are decoded when they are handed out, with the records that they are made of."""
        return None

    def decoded(self, records: Sequence[StoredRecord]) -> list[T]:
        """Return the elements; see `RecordDecoder.decoded`."""
        return ObservedElements(self._decoder.decoded(records), records, self._observed)


class ObservedElements(list[T]):
    """Elements, each observed when somebody takes it, not when it was read: reading runs ahead.

    Args:
        elements: the elements.
        records: their records; there may be more.
        observed: notes them.
    """

    def __init__(self, elements: Sequence[T], records: Sequence[StoredRecord], observed: Observed) -> None:
        super().__init__(elements)
        self._records = records
        self._observed = observed

    def note_all(self) -> None:
        """Observe all elements."""
        for record in self._records[: len(self)]:
            self._observed.note(record.version)

    def __iter__(self) -> Iterator[T]:
        note = self._observed.note
        for record, element in zip(self._records, super().__iter__(), strict=False):
            note(record.version)
            yield element


class ObservingInlet(Generic[T]):
    """Hands elements out one by one to whoever may stop in between, so that no more are observed than were taken.

    Who asks for more has taken what he was given, also if he did not look at it.

    Args:
        inlet: reads elements with an `ObservingDecoder`.
    """

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet
        self._given: Sequence[T] = ()

    async def pull(self, limit: int, /) -> Sequence[T]:
        """Hand out the next elements; see `Inlet.pull`."""
        if isinstance(self._given, ObservedElements):
            self._given.note_all()
        self._given = ()
        self._given = await self._inlet.pull(limit if limit == EVERYTHING else 1)
        return self._given

    async def aclose(self) -> None:
        """Close the inlet; what was given last is observed as far as it was taken."""
        self._given = ()
        await self._inlet.aclose()
