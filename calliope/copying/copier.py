"""`copy_journal`: all of one journal into another."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from calliope.copying.comparing import checked_copy
from calliope.copying.copied_snapshots import SnapshotCopier
from calliope.copying.errors import CopyError, CopyRefusedError
from calliope.copying.place import Place, found_place, note
from calliope.copying.requests import CopyRequest, requests_of
from calliope.copying.summary import CopyProgress, CopySummary
from calliope.copying.walking import Walk, head_of
from calliope.errors import ExpectedVersionError
from calliope.journal import Journal
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection, StoredRecord
from calliope.stores.replica_store import ReplicaStore
from calliope.submitting import submitted_in_order

Call = Callable[[], Awaitable[None]]
Tell = Callable[[CopyProgress], None]


async def copy_journal(
    source: Journal,
    target: Journal,
    *,
    plain_only: bool = False,
    verify: bool = True,
    on_progress: Tell = lambda progress: None,
) -> CopySummary:
    """Copy all that a journal holds now into another one, and return when it is durable and compared.

    Copied again, only what is new is added: so a copy that was cut off is simply made again, and one of a source that
    was in use is brought up to date. Nobody may write to the target meanwhile.

    Args:
        source: what is copied; others may write to it.
        target: where to: an empty journal, or one that holds a beginning of the source and nothing else.
        plain_only: leave replicated streams and keys alone, in both journals. They travel by replication: open the
            target with a `Node` of its own replica id, and it receives them.
        verify: read both journals in the end, and compare them.
        on_progress: called after each batch.

    Raises:
        CopyRefusedError: the target holds something else, or one of them is a replica's; nothing was written.
        CopyDiffersError: the comparison found differences.
        CopyError: somebody else wrote to the target.
        CalliopeError: one of the journals failed; copying again goes on.

    Cancellation leaves a beginning of the source in the target, with every request whole; copying again goes on.
    """
    copier = _Copier(source.store, target.store, plain_only=plain_only, tell=on_progress)
    await copier.begin()
    await copier.copy_events()
    snapshots = await copier.copy_snapshots(verify=verify)
    await copier.copy_events()  # those that a snapshot may have seen since
    checksum = await copier.compare() if verify else None
    known, place = copier.known, copier.place
    return CopySummary(
        added=place.events - known,
        known=known,
        snapshots=snapshots.copied,
        snapshots_left_out=snapshots.left_out,
        same_positions=place.same_positions,
        through=copier.through,
        checksum=checksum,
    )


class _Copier:
    """Copies from one store to another.

    Attributes:
        place: how far it has come.
        known: how many events the target held at the beginning.
        through: up to which position of the source everything is copied.
    """

    def __init__(self, source: EventStore, target: EventStore, *, plain_only: bool, tell: Tell) -> None:
        self.place = Place(source.journal_id)
        self.known = 0
        self.through = 0
        self._source = source
        self._target = target
        self._plain_only = plain_only
        self._selection = Selection(kind="plain") if plain_only else Selection()
        self._tell = tell

    async def begin(self) -> None:
        """Find the place, and write it down."""
        _check_pair(self._source, self._target, plain_only=self._plain_only)
        self._tell(CopyProgress("looking", 0, await head_of(self._source)))
        self.place = await found_place(self._source, self._target, self._selection)
        self.known = self.place.events
        await note(self._target, self.place)

    async def copy_events(self) -> None:
        """Copy the events that the source holds now."""
        self.through = await head_of(self._source)
        requests = await self._requests_after(self.place.source)
        while requests:
            requests = await self._copy(requests)
            self._tell(CopyProgress("events", self.place.source, self.through))
        await note(self._target, self.place)

    async def copy_snapshots(self, *, verify: bool) -> SnapshotCopier:
        """Copy the snapshots that the source holds now; return what became of them."""
        of_streams_only = self._plain_only or not self.place.same_positions
        copier = SnapshotCopier(self._source, self._target, of_streams_only=of_streams_only, verify=verify)
        await copier.run(lambda count: self._tell(CopyProgress("snapshots", count, 0)))
        return copier

    async def compare(self) -> str:
        """Return the checksum of both journals.

        Raises:
            CopyDiffersError: they differ.
        """
        return await checked_copy(
            self._source,
            self._target,
            self._selection,
            through=self.through,
            same_positions=self.place.same_positions,
            on_progress=lambda position: self._tell(CopyProgress("comparing", position, self.through)),
        )

    async def _requests_after(self, position: int) -> list[CopyRequest]:
        walk = Walk(self._source, self._selection, position, self.through)
        return await requests_of(self._source, await walk.next_page())

    async def _copy(self, requests: Sequence[CopyRequest]) -> list[CopyRequest]:
        """Write requests, and down how far the ones before them had come; return the next ones, read meanwhile."""
        replies: list[list[StoredRecord]] = [[] for _ in requests]
        following: list[CopyRequest] = []

        async def append(number: int) -> None:
            replies[number] = await self._target.append(requests[number].request)

        async def read_ahead() -> None:
            following.extend(await self._requests_after(requests[-1].records[-1].position))

        calls: list[Call] = [partial(append, number) for number in range(len(requests))]
        others: list[Call] = [partial(note, self._target, self.place), read_ahead]
        try:
            if self._target.places_in_order:
                await submitted_in_order([*calls, *others])
            else:
                await submitted_in_order([partial(submitted_in_order, calls, one_by_one=True), *others])
        except ExpectedVersionError as error:
            raise CopyError(
                f"stream {error.stream_id!r} of the target is at version {error.actual}, not at {error.expected}:"
                " somebody else writes to it"
            ) from error
        self.place = self._moved(requests, replies)
        return following

    def _moved(self, requests: Sequence[CopyRequest], replies: Sequence[Sequence[StoredRecord]]) -> Place:
        records = [record for request in requests for record in request.records]
        copies = [record for reply in replies for record in reply]
        positions = [copy.position for copy in copies]
        if [copy.sequence_number for copy in copies] != [record.sequence_number for record in records]:
            raise CopyError("the target holds some of the events already: somebody else writes to it")
        if [self.place.target, *positions] != sorted([*positions, self.place.target]):
            raise CopyError("the target gave positions out of order, as after a fault; copy into an empty journal")
        same = positions == [record.position for record in records]
        return self.place.moved(records[-1], copies[-1], len(records), same_positions=same)


def _check_pair(source: EventStore, target: EventStore, *, plain_only: bool) -> None:
    """Check that two stores may be source and target.

    Raises:
        CopyRefusedError: they may not.
    """
    if source.journal_id == target.journal_id:
        raise CopyRefusedError(f"source and target are the same journal, {source.journal_id}; nothing was written")
    if plain_only:
        return
    for name, store in (("source", source), ("target", target)):
        if isinstance(store, ReplicaStore) and store.vector:
            raise CopyRefusedError(
                f"the {name} is a replica's journal: its replicated streams and keys are no copy's to make, because two"
                " journals would number on under one log. They travel by replication: open the new journal as a node"
                " with a replica id of its own, and it receives them. Its plain streams alone can be copied"
                " (plain_only, on the command line --plain-only); nothing was written"
            )
