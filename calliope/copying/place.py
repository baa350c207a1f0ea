"""`Place`: how far a target holds what its source holds, and the note of it in the target.

The note is a cache of what the events say. One that is missing, damaged or of another source, or that knows of more
than the target holds (it was restored from a backup), means that all events are compared.
"""

import msgspec

from calliope.copying.content import content_of, place_in_words
from calliope.copying.errors import CopyRefusedError
from calliope.copying.walking import SideBySide, Walk, head_of
from calliope.event_stream import system_clock
from calliope.limits import POSITION_MAX
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.stores.record import Selection, StoredRecord, StoredType

NOTE_ID = "calliope:copy"
"""The id of the snapshot that holds the note; it is never copied."""

_NOTE_TYPE = StoredType("calliope.copy", 1)


class Place(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the last event that was copied stands in both journals.

    Attributes:
        source_id: the source's journal id.
        source: its position there; 0: nothing was copied.
        target: its position in the target.
        events: how many events were copied.
        same_positions: whether all of them have the same position in both.
    """

    source_id: str
    source: int = 0
    target: int = 0
    events: int = 0
    same_positions: bool = True

    def moved(self, copied: StoredRecord, copy: StoredRecord, events: int, *, same_positions: bool) -> "Place":
        """Return the place after so many more events, of which these are the last."""
        return Place(
            self.source_id,
            copied.position,
            copy.position,
            self.events + events,
            self.same_positions and same_positions,
        )


async def note(target: EventStore, place: Place) -> None:
    """Write down a place durably; it replaces the one before."""
    payload = msgspec.msgpack.encode(place)
    await target.save_snapshot(StoredSnapshot(NOTE_ID, 0, _NOTE_TYPE, system_clock(), payload))


async def found_place(source: EventStore, target: EventStore, selection: Selection) -> Place:
    """Return how far the target holds what the source holds.

    Raises:
        CopyRefusedError: it holds something else.
    """
    noted = await _noted(source, target, selection)
    if noted is None and await head_of(target) == 0 and await _has_snapshots(target):
        raise CopyRefusedError("the target holds snapshots but no events; nothing was written")
    place = noted or Place(source.journal_id)
    content, content_there = content_of(source.journal_id), content_of(target.journal_id)
    both = SideBySide(Walk(source, selection, place.source), Walk(target, selection, place.target))
    while True:
        records, there = await both.next_stretch()
        if not there:
            return place
        if not records:
            raise _refused(there[0], "which the source does not hold")
        for record, copy in zip(records, there, strict=True):
            if content(record) != content_there(copy):
                raise _refused(copy, f"where the source holds {place_in_words(record)}, or with other content")
        same_positions = [record.position for record in records] == [copy.position for copy in there]
        place = place.moved(records[-1], there[-1], len(there), same_positions=same_positions)


async def _noted(source: EventStore, target: EventStore, selection: Selection) -> Place | None:
    """Return the place in the note, if it fits what both journals hold there."""
    stored = await target.load_snapshot(NOTE_ID, through=POSITION_MAX)
    if stored is None or stored.payload is None or stored.type != _NOTE_TYPE:
        return None
    try:
        place = msgspec.msgpack.decode(stored.payload, type=Place)
    except msgspec.DecodeError:
        return None
    if place.source_id != source.journal_id:
        return None
    if place.events == 0:
        return place
    there = await _record_at(target, selection, place.target)
    here = await _record_at(source, selection, place.source)
    if here is None or there is None:
        return None
    same = content_of(source.journal_id)(here) == content_of(target.journal_id)(there)
    return place if same else None


async def _record_at(store: EventStore, selection: Selection, position: int) -> StoredRecord | None:
    page = await store.read_all(selection, after=position - 1, limit=1)
    return page.records[0] if page.records and page.records[0].position == position else None


async def _has_snapshots(store: EventStore) -> bool:
    return bool(set(await store.snapshot_ids(after="", limit=2)) - {NOTE_ID})


def _refused(found: StoredRecord, what: str) -> CopyRefusedError:
    return CopyRefusedError(
        f"the target is no beginning of the source: at position {found.position:,} it holds {place_in_words(found)},"
        f" {what}; nothing was written"
    )
