"""`Clerk`: writes at a replica, and enters in the ledger what was tried and what was acknowledged."""

from calliope.event_log import LogRow
from calliope.payload import decode_plain
from examples.demo.ledger import Json, Ledger, fingerprint
from examples.demo.remote_replica import CommandFailedError, RemoteReplica


def event_of(row: LogRow) -> Json:
    """Return a row's event as plain data."""
    event = row.event
    return event_named(
        event.type.name,
        decode_plain(event.payload),
        schema_version=event.type.schema_version,
        tags=list(event.attributes.tags),
        metadata=event.attributes.metadata,
    )


def event_named(type_name: str, data: Json, **context: Json) -> Json:
    """Return an event as it is sent to a replica."""
    return {"schema_version": 1, "tags": [], "metadata": {}, **context, "type": type_name, "data": data}


def fingerprint_of(event: Json) -> str:
    """Return what the ledger keeps of an event."""
    said = (event["type"], event["data"], event["schema_version"], sorted(event["tags"]), event["metadata"])
    return fingerprint(*said)


class Clerk:
    """Writes, and notes it.

    Attributes:
        ledger: the notes.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def replay(self, replica: RemoteReplica, streams: dict[str, list[Json]]) -> None:
        """Persist events of several streams, those of each in order."""
        await replica.ask("replay", streams=streams)
        for stream, events in streams.items():
            for event in events:
                self.ledger.event(replica.replica_id, stream, fingerprint_of(event))

    async def persist(self, replica: RemoteReplica, stream: str, event: Json, event_id: str | None = None) -> Json:
        """Persist an event; the same event id again makes sure that it is there once."""
        self.ledger.unanswered[stream, replica.replica_id] = fingerprint_of(event)
        reply = await replica.ask("persist", stream=stream, event=event, event_id=event_id)
        self.ledger.event(replica.replica_id, stream, fingerprint_of(event))
        return reply

    async def resolve(self, replica: RemoteReplica, stream: str, field: str) -> Json:
        """Persist an event in place of those that are concurrent, with a field joined."""
        reply = await replica.ask("resolve", stream=stream, field=field)
        self.ledger.event(replica.replica_id, stream, fingerprint_of(event_named(*reply["event"])))
        return reply

    async def increment(self, replica: RemoteReplica, key: str, by: int = 1, **options: Json) -> None:
        """Add to a counter. If too few replicas answer in time, it is recorded all the same."""
        self.ledger.totals[key].tried += by
        try:
            await replica.ask("increment", key=key, by=by, **options)
        except CommandFailedError as error:
            if error.acknowledged is not None:
                self.ledger.count(key, by)
            raise
        self.ledger.count(key, by)

    async def add(self, replica: RemoteReplica, key: str, element: str, **options: Json) -> None:
        """Add an element to a set."""
        self.ledger.elements[key].tried.add(element)
        await replica.ask("add", key=key, element=element, **options)
        self.ledger.element(key, element)

    async def remove(self, replica: RemoteReplica, key: str, element: str, **options: Json) -> None:
        """Remove an element from a set."""
        await replica.ask("remove", key=key, element=element, **options)
        self.ledger.removal(key, element)
