"""The view of the active products: a fold of the journal that follows it live."""

from collections.abc import Mapping
from types import MappingProxyType

import anyio

from calliope import Journal, RecordedEvent
from examples.catalogue.product import ProductCreated, ProductDeleted, ProductEvent, ProductRenamed


class ActiveProducts:
    """The names of the active products, by their ids, as far as the journal was followed.

    It is kept in memory, so it begins with the first event again whenever the program starts.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._position = 0
        self._advanced = anyio.Event()

    @property
    def names(self) -> Mapping[str, str]:
        """Product ids and names."""
        return MappingProxyType(self._names)

    async def follow(self, journal: Journal) -> None:
        """Follow the products of a journal until cancelled."""
        await journal.live_records(self._position, prefix="product-", event_type=ProductEvent).run_for_each(self._take)

    async def wait_until(self, position: int) -> None:
        """Return when the view has seen a position: whoever wrote it reads their own write."""
        while self._position < position:
            await self._advanced.wait()

    def _take(self, record: RecordedEvent[ProductEvent]) -> None:
        match record.data:
            case ProductCreated(name) | ProductRenamed(name):
                self._names[record.stream_id] = name
            case ProductDeleted():
                del self._names[record.stream_id]
        self._position = record.position
        self._advanced.set()
        self._advanced = anyio.Event()
