"""Reading all there is, page by page, checking on the way what a page promises."""

from calliope.stores.protocol import EventStore, Page
from calliope.stores.record import Selection, StoredRecord

ALL = Selection()


async def everything(
    store: EventStore, selection: Selection = ALL, *, after: int = 0, limit: int = 1_000
) -> list[StoredRecord]:
    """Return all records that match, in order; of one stream if the selection names one.

    Raises:
        AssertionError: a page is too long, goes backwards or stands still.
    """
    records: list[StoredRecord] = []
    through = -1
    while True:
        if selection.stream_id is None:
            page = await store.read_all(selection, after=after, limit=limit)
            after = max(after, page.through)
        else:
            page = await store.read_stream(selection.stream_id, after=after, limit=limit)
            after = page.records[-1].sequence_number if page.records else after
        check_page(page, limit)
        records += page.records
        if page.complete:
            return records
        assert page.through > through, f"{page.through} follows {through}: reading stands still"
        through = page.through


def check_page(page: Page, limit: int) -> None:
    """Check what a page says of itself.

    Raises:
        AssertionError: it is longer than asked for, out of order, or holds what lies behind `through`.
    """
    positions = [record.position for record in page.records]
    assert len(positions) <= limit
    assert positions == sorted(set(positions))
    assert not positions or positions[-1] <= page.through
    assert not positions or positions[-1] <= page.head
