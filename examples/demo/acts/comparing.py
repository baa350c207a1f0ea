"""The last act: all that the three hold is compared, with one another and with what was acknowledged."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import anyio.to_thread

from calliope import Journal, JournalError, UntypedEvent
from calliope.journal import path_of
from calliope.stores.replica_store import ReplicaStore
from calliope.verification import verify_journal
from crdts import VersionVector
from examples.demo.cluster import REPLICA_IDS
from examples.demo.ledger import Json, fingerprint
from examples.demo.stage import Stage

PAGE_BYTES = 1024 * 1024

NAMED_MAX = 12
"""How many differences are named."""


async def compare_all(stage: Stage) -> None:
    """Compare; then stop the three, and look through their files.

    Raises:
        CheckFailedError: they differ, or something that was acknowledged is missing; it was named before.
    """
    cluster, display = stage.cluster, stage.display
    display.act("What the three hold is compared")
    try:
        await cluster.converge()
    except TimeoutError as error:
        display.failed(f"  {error}")
    inventories = await cluster.together(lambda replica: replica.ask("inventory"))
    display.table(("", *REPLICA_IDS), list(table_of(inventories)))
    differing, missing = list(differences(inventories)), list(_missing(stage, inventories))
    for what in [*differing, *missing][:NAMED_MAX]:
        display.failed(f"  {what}")
    display.check("versions, keys and events of the three are equal", holds=not differing)
    display.check(f"each of {stage.clerk.ledger.writes:,} acknowledged writes is on all three", holds=not missing)
    await cluster.stop()
    for replica in cluster:
        whole = await is_whole(replica.journal)
        claim = f"{replica.replica_id} ended, and its {stage.store.place} is whole to the last record"
        display.check(claim, holds=whole)


async def is_whole(url: str) -> bool:
    """Look through a journal that nobody uses: a file byte by byte, one on a server by reading all of it."""
    path = path_of(url)
    if path is not None:
        return (await anyio.to_thread.run_sync(partial(verify_journal, path))).is_whole
    async with Journal.open(url) as journal:
        store = journal.store
        assert isinstance(store, ReplicaStore)
        try:
            await journal.records(event_type=UntypedEvent).run_drain()
            page = await store.read_log(have=VersionVector(), after=0, bytes_max=PAGE_BYTES)
            while not page.complete:
                page = await store.read_log(have=VersionVector(), after=page.through, bytes_max=PAGE_BYTES)
        except JournalError:
            return False
    return True


def differences(inventories: Sequence[Json]) -> Iterator[str]:
    """Yield in words what is not equal in what the replicas hold."""
    for part, (noun, in_short) in _PARTS.items():
        for name in sorted({name for one in inventories for name in one[part]}):
            held = [in_short(one[part][name]) if name in one[part] else "nothing" for one in inventories]
            if len(set(held)) > 1:
                who = ", ".join(f"{replica_id} {text}" for replica_id, text in zip(REPLICA_IDS, held, strict=True))
                yield f"{noun} {name!r}: {who}"


def table_of(inventories: Sequence[Json]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table at the end: versions first, then values."""
    for log_id in sorted({log_id for one in inventories for log_id in one["vector"]}):
        yield f"version of log {log_id}", *[f"{one['vector'].get(log_id, 0):,}" for one in inventories]
    for key in sorted({key for one in inventories for key in one["keys"]}):
        yield key, *[_text(one["keys"].get(key, ["", "nothing"])[1]) for one in inventories]
    yield "events", *[f"{sum(map(len, one['streams'].values())):,}" for one in inventories]
    yield "fingerprint of all", *[_fingerprint_of(one) for one in inventories]


def _missing(stage: Stage, inventories: Sequence[Json]) -> Iterator[str]:
    for replica_id, inventory in zip(REPLICA_IDS, inventories, strict=True):
        for what in stage.clerk.ledger.missing(inventory):
            yield f"{replica_id}: {what}"


def _key_in_short(key: Json) -> str:
    type_name, value, version = key
    return f"{_text(value)} ({type_name} of version {fingerprint(version)})"


def _stream_in_short(records: list[Json]) -> str:
    """Return how many events there are, and which; their order depends on the way they came, so it does not count."""
    return f"{len(records)} events ({fingerprint(sorted(records))})"


_PARTS: dict[str, tuple[str, Callable[[Json], str]]] = {
    "vector": ("log", str),
    "keys": ("key", _key_in_short),
    "streams": ("stream", _stream_in_short),
}


def _fingerprint_of(inventory: Json) -> str:
    streams = {name: sorted(records) for name, records in inventory["streams"].items()}
    return fingerprint(inventory["vector"], inventory["keys"], streams)


def _text(value: Json) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
