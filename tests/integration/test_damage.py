"""Damaged files: each damage is reported, or does no harm; nothing else is served than what was written."""

import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from calliope import Journal
from calliope.errors import CorruptJournalError, JournalFormatError
from calliope.snapshots import UnreadableSnapshotWarning
from tests.integration.damaging import Source, contents, damaged_copy, replies, sources

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def outcome(source: Source, path: Path) -> str:
    """Open a damaged journal, read it, write to it; tell how the damage showed itself."""
    place = "opening"
    try:
        async with Journal.open(path) as journal:
            place = "reading"
            found = await contents(journal)
            place = "writing"
            written = await replies(journal, source.contents)
    except (CorruptJournalError, JournalFormatError, UnreadableSnapshotWarning) as error:
        return f"reported on {place}: {type(error).__name__}"
    if found == source.contents and written == source.replies:
        return "harmless"
    differing = [key for key, value in source.contents.items() if found[key] != value]
    return f"SILENT: {differing or 'replies'}"


async def damage(tmp_path: Path, times: int) -> None:
    journals = await sources(tmp_path)
    chance = Random(times)
    classes: Counter[str] = Counter()
    silent = []
    for number in range(times):
        source = journals[number % len(journals)]
        folder = tmp_path / str(number)
        done = damaged_copy(source, folder, chance)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown = await outcome(source, folder / "journal.db")
        classes[f"{done.split()[0]:9} {done.split()[1]:5} {shown.split(' [')[0]}"] += 1
        if shown.startswith("SILENT"):
            silent.append(f"{number}: {source.name}: {done}: {shown}")
    for name, count in sorted(classes.items()):
        print(f"{count:5} {name}")
    assert not silent, "\n".join(silent)


async def test_damage_is_reported_or_harmless(tmp_path: Path) -> None:
    await damage(tmp_path, 100)


@pytest.mark.soak
async def test_two_thousand_damages_are_reported_or_harmless(tmp_path: Path) -> None:
    await damage(tmp_path, 2_000)
