"""Making requests of records again, so that a copy is written as its source was.

An event id that a caller gave names a whole request: persisted again, it gives the records of all of its events. How
many they are a record does not tell. Where another event of the same stream and time follows, the source is asked, in
the way that every store answers: it is given the request again, under an expected version that no stream has. Then it
returns the records of the first time or refuses, and never writes.

Events that nobody named are put together if they share stream and time, as those of one request do: nothing depends on
which of them were.
"""

from collections.abc import Sequence

from calliope.copying.content import copied_attributes
from calliope.errors import ExpectedVersionError
from calliope.limits import POSITION_MAX
from calliope.stores.protocol import AppendRequest, EventStore
from calliope.stores.record import NewEvent, StoredRecord
from calliope.submitting import submitted_in_order

REQUEST_EVENTS = 256
"""How many events that nobody named are put together at most."""

REQUEST_BYTES = 512 * 1024
"""They are no more when their payloads exceed this; an event that is larger stands alone."""


class CopyRequest:
    """A request to the target, and what it is a copy of.

    Attributes:
        records: the records of the source.
        request: the request.
    """

    __slots__ = ("records", "request")

    def __init__(self, records: Sequence[StoredRecord], journal_id: str, event_id: str | None) -> None:
        first = records[0]
        self.records = records
        self.request = AppendRequest(
            first.stream_id,
            "plain",
            [NewEvent(each.type, each.payload, copied_attributes(each, journal_id)) for each in records],
            first.timestamp,
            first.sequence_number - 1,
            event_id,
        )


async def requests_of(source: EventStore, page: Sequence[StoredRecord]) -> list[CopyRequest]:
    """Return the requests that write a page, in order; the last one may reach beyond the page."""
    named = await _named(source, page)
    requests = []
    start = 0
    while start < len(page):
        event_id = page[start].attributes.event_id
        records = _unnamed(page, start) if event_id is None else named.get(start, page[start : start + 1])
        requests.append(CopyRequest(records, source.journal_id, event_id))
        start += len(records)
    return requests


async def _named(source: EventStore, page: Sequence[StoredRecord]) -> dict[int, Sequence[StoredRecord]]:
    """Return the records of each request of which the page does not tell where it ends, by the place of the first."""
    named: dict[int, Sequence[StoredRecord]] = {}

    async def ask(start: int) -> None:
        record = page[start]
        event = NewEvent(record.type, record.payload, record.attributes)
        event_id = record.attributes.event_id
        request = AppendRequest(record.stream_id, "plain", [event], record.timestamp, POSITION_MAX, event_id)
        try:
            first_time = await source.append(request)
        except ExpectedVersionError:  # an id that names no request: the event came with it from another journal
            return
        if first_time[0].position == record.position:
            named[start] = first_time

    unclear = [start for start in range(len(page)) if page[start].attributes.event_id and _may_go_on(page, start)]
    await submitted_in_order([lambda start=start: ask(start) for start in unclear])  # type: ignore[misc]
    return named


def _may_go_on(page: Sequence[StoredRecord], start: int) -> bool:
    """Tell whether what follows a record may belong to the same request."""
    if start + 1 == len(page):
        return True
    record, following = page[start], page[start + 1]
    return following.stream_id == record.stream_id and following.timestamp == record.timestamp


def _unnamed(page: Sequence[StoredRecord], start: int) -> Sequence[StoredRecord]:
    stream_id, timestamp = page[start].stream_id, page[start].timestamp
    end, byte_count = start + 1, len(page[start].payload)
    for record in page[start + 1 : start + REQUEST_EVENTS]:
        byte_count += len(record.payload)
        if record.stream_id != stream_id or record.timestamp != timestamp or byte_count > REQUEST_BYTES:
            break
        if record.attributes.event_id is not None:
            break
        end += 1
    return page[start:end]
