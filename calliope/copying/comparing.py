"""Comparing a copy with its source: all of both, side by side."""

from collections.abc import Callable
from hashlib import blake2b

from calliope.copying.content import content_of, difference, place_in_words
from calliope.copying.errors import CopyDiffersError
from calliope.copying.walking import SideBySide, Walk
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection, StoredRecord

DIFFERENCES_MAX = 100
"""After so many differences the rest is not looked at."""


async def checked_copy(
    source: EventStore,
    target: EventStore,
    selection: Selection,
    *,
    through: int,
    same_positions: bool,
    on_progress: Callable[[int], None],
) -> str:
    """Return the checksum of what both journals hold.

    Args:
        source: what was copied.
        target: the copy.
        selection: which records were copied.
        through: up to which position of the source they were.
        same_positions: whether each record must have the position that it has in the source.
        on_progress: told the position in the source after each stretch.

    Raises:
        CopyDiffersError: the copy lacks something, holds more, or holds something else.
    """
    differences: list[str] = []
    content, content_there = content_of(source.journal_id), content_of(target.journal_id)
    checksum = blake2b(digest_size=16)
    both = SideBySide(Walk(source, selection, 0, through), Walk(target, selection, 0))
    count = 0
    while True:
        records, there = await both.next_stretch()
        if not records or not there:
            differences += _of_lengths(records, there, count)
            break
        ours, theirs = list(map(content, records)), list(map(content_there, there))
        checksum.update(b"".join(ours))
        parted = False
        if ours != theirs:
            parted = _note_differences(records, there, ours, theirs, differences)
        if same_positions and not parted:
            differences += _of_positions(records, there)
        if parted or len(differences) >= DIFFERENCES_MAX:
            break
        count += len(records)
        on_progress(records[-1].position)
    if differences:
        raise CopyDiffersError(differences[:DIFFERENCES_MAX])
    return checksum.hexdigest()


def _note_differences(
    records: list[StoredRecord],
    there: list[StoredRecord],
    ours: list[bytes],
    theirs: list[bytes],
    differences: list[str],
) -> bool:
    """Note in what records differ; return whether the journals part, so that there is no more to compare."""
    for record, copy, one, other in zip(records, there, ours, theirs, strict=True):
        if one != other:
            if (record.stream_id, record.sequence_number) != (copy.stream_id, copy.sequence_number):
                differences.append(
                    f"at position {copy.position:,} the copy has {place_in_words(copy)}, where its source has"
                    f" {place_in_words(record)}"
                )
                return True
            differences.append(f"{place_in_words(record)} has another {difference(one, other)}")
    return False


def _of_positions(records: list[StoredRecord], there: list[StoredRecord]) -> list[str]:
    return [
        f"{place_in_words(record)} is at position {copy.position:,}, not {record.position:,}"
        for record, copy in zip(records, there, strict=True)
        if record.position != copy.position
    ]


def _of_lengths(records: list[StoredRecord], there: list[StoredRecord], count: int) -> list[str]:
    if records:
        return [f"the copy ends after {count:,} events and lacks {place_in_words(records[0])}"]
    if there:
        return [f"the copy goes on after {count:,} events, with {place_in_words(there[0])}"]
    return []
