"""`NatsLogReader`: reads the log, the states and the facts of a replica in JetStream."""

from calliope.stores.log_pages import LOG_PAGE_ENTRIES_MAX, gathered_page
from calliope.stores.nats_commits import NatsCommits, StoredCommit
from calliope.stores.nats_connection import NatsConnection
from calliope.stores.nats_listing import NatsListing
from calliope.stores.nats_notes import NatsNotes, together
from calliope.stores.nats_streams import notes_of, subjects_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.replica_store import LogPage, StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector

SCAN_BYTES_MAX = 16 * 1024 * 1024
"""How many bytes of a log one page looks at; it may come back empty and further on."""


class NatsLogReader:
    """Reads what `ReplicaStore` keeps beside events. Used in the store's thread.

    Args:
        connection: who is asked.
        commits: the log.
        notes: the notes.
        listing: lists ids.
        subjects: the subjects of the notes.
    """

    def __init__(
        self,
        connection: NatsConnection,
        commits: NatsCommits,
        notes: NatsNotes,
        listing: NatsListing,
        subjects: NatsSubjects,
    ) -> None:
        self._connection = connection
        self._commits = commits
        self._notes = notes
        self._listing = listing
        self._subjects = subjects

    async def head(self) -> StoredCommit:
        """Return the last commit, which may not be carried out yet."""
        return await self._commits.head()

    async def page(self, head: StoredCommit, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return a page of the log, through the last commit that readers may know of; see `ReplicaStore.read_log`."""
        state = head.commit.state
        first = await self._commits.first_that(
            lambda commit: (
                commit.fields.position > after
                and any(number > have[log_id] for log_id, number in commit.fields.vector.items())
            ),
            head,
        )
        end = LogPage([], max(after, state.position), state.position, state.floor)
        found: list[tuple[int, LogEntry]] = []
        byte_count = scanned = 0
        commits = [] if first is None else [first]
        start = after if first is None else max(after, first.commit.fields.position - len(first.commit.entries))
        while commits:
            for each in commits:
                for position, entry in each.commit.placed_entries:
                    if not after < position <= state.position:
                        continue
                    scanned += len(entry.body)
                    is_forgotten = entry.kind == "operations" and position <= state.forgotten_through
                    if entry.number > have[entry.log_id] and not is_forgotten:
                        found.append((position, entry))
                        byte_count += len(entry.body)
                through = each.commit.fields.position
                if each.last >= head.last or through >= state.position:
                    return gathered_page(found, have, start=start, end=end, bytes_max=bytes_max)
                if byte_count > bytes_max or len(found) > LOG_PAGE_ENTRIES_MAX or scanned > SCAN_BYTES_MAX:
                    cut = LogPage([], max(after, through), state.position, state.floor)
                    return gathered_page(found, have, start=start, end=cut, bytes_max=bytes_max)
            commits = await self._commits.following(commits[-1].last)
        return end if not found else gathered_page(found, have, start=start, end=end, bytes_max=bytes_max)

    async def forget(self, head: StoredCommit) -> None:
        """Remove what is forgotten; what lies among events stays, and is passed over by readers."""
        through = head.commit.fields.forgotten_through
        kept = await self._commits.first_that(lambda commit: commit.fields.position > through, head)
        await self._commits.purge((kept or head).first)

    async def state(self, key: str) -> StoredState | None:
        """Return a state, checked."""
        return await self._notes.state(key)

    async def states(self, prefix: str, after: str, limit: int, *, bodies: bool) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        family, name = self._subjects.states, notes_of(self._connection.address.name)
        keys = await self._listing.ids(name, family, family.id_in, prefix, after, limit)
        found = await together([self._notes.state(key, body=bodies) for key in keys])
        return [state for state in found if state is not None]

    async def facts(self) -> dict[str, bytes]:
        """Return all facts."""
        family, name = self._subjects.facts, notes_of(self._connection.address.name)
        names = [family.id_in(subject) for subject in await subjects_of(self._connection, name, family.all)]
        found = await together([self._notes.fact(each) for each in names])
        return {each: fact for each, fact in zip(names, found, strict=True) if fact is not None}

    async def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far the writers of a stream have come."""
        return VersionVector((await self._notes.versions(stream_id)).counters)
