"""Where a journal ends."""

from calliope.journal import Journal
from calliope.limits import POSITION_MAX
from calliope.stores.record import Selection


async def head_of(journal: Journal) -> int:
    """Return the journal's highest position; 0 if it has no events."""
    store = journal.store
    return (await store.read_all(Selection(), after=POSITION_MAX, limit=1)).head
