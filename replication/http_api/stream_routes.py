"""`/streams`, `/events` and `/feed`: the events of a node."""

from typing import Any

from aiohttp import web

from calliope import EventStream, RecordedEvent, ReplicatedEventStream, Source, StreamSummary, UntypedEvent
from calliope.limits import POSITION_MAX
from calliope.stores.record import StreamKind
from crdts import VersionVector
from replication.http_api.answers import RefusedRequestError, answer, refusing
from replication.http_api.bodies import EventRequest, body_of
from replication.http_api.feeds import feed
from replication.http_api.node_key import NODE
from replication.http_api.pages import page
from replication.http_api.parameters import check_parameters, limit_in, number_in, text_in
from replication.http_api.plain_values import from_json
from replication.http_api.records import record_as_json
from replication.node import Node

CONCURRENT_SHOWN_MAX = 100
"""How many events that the writer had not observed an answer shows, the newest of them."""

KINDS: tuple[StreamKind, ...] = ("plain", "replicated")

routes = web.RouteTableDef()

Stream = EventStream[UntypedEvent] | ReplicatedEventStream[UntypedEvent]


@routes.get("/streams", allow_head=False)
async def list_streams(request: web.Request) -> web.Response:
    """Answer with a page of the streams, and the id to go on after; null: that was all."""
    check_parameters(request, "prefix", "after", "limit")
    limit = limit_in(request)
    with refusing():
        source = request.app[NODE].journal.streams(text_in(request, "prefix"), text_in(request, "after"))
    return answer(await page("streams", source, limit, _summary_as_json, lambda summary: summary.stream_id))


@routes.get("/streams/{stream}/events", allow_head=False)
async def list_events(request: web.Request) -> web.Response:
    """Answer with a page of the events of a stream, and the sequence number to go on after; null: that was all."""
    check_parameters(request, "after", "limit", "kind")
    after, limit = number_in(request, "after", 0), limit_in(request)
    stream = await _existing(request)
    source = stream.records(after)
    return answer(await page("events", source, limit, record_as_json, lambda record: record.sequence_number))


@routes.post("/streams/{stream}/events")
async def append_event(request: web.Request) -> web.Response:
    """Append an event, and answer where it stands, and what was written concurrently to it."""
    check_parameters(request)
    asked = await body_of(request, EventRequest)
    node, stream_id = request.app[NODE], request.match_info["stream"]
    with refusing():
        kind = asked.kind or await _kind_of(node, stream_id) or "replicated"
        if kind == "plain" and asked.replicas != 1:
            raise RefusedRequestError(400, f"replicas is for replicated streams; {stream_id!r} stays on its node")
        stream = _stream(node, stream_id, kind)
        event = UntypedEvent(asked.type, from_json(asked.data), asked.schema_version)
        await _observe(stream, asked)
        reply = await stream.persist(
            event,
            expected_version=asked.expected_version,
            tags=asked.tags,
            metadata=None if asked.metadata is None else from_json(asked.metadata),
            event_id=asked.event_id,
        )
    if asked.replicas != 1:
        await node.wait_until_held(asked.replicas, asked.timeout)
    concurrent = reply.concurrent_updates[-CONCURRENT_SHOWN_MAX:]
    return answer(
        {
            **record_as_json(reply.records[-1]),
            "concurrent_update_detected": reply.concurrent_update_detected,
            "concurrent_updates": [record_as_json(record) for record in concurrent],
        }
    )


@routes.get("/streams/{stream}/feed", allow_head=False)
async def follow_stream(request: web.Request) -> web.StreamResponse:
    """Answer with the events of a stream, then new ones as they come; of one that is not there yet as well."""
    check_parameters(request, "after", "kind")
    node, stream_id = request.app[NODE], request.match_info["stream"]
    with refusing():
        kind = _kind_in(request) or await _kind_of(node, stream_id) or "replicated"
        stream = _stream(node, stream_id, kind)
        source = stream.live_records(_after_in(request, await _length(stream)))
    return await feed(request, source.map(lambda record: (record.sequence_number, record_as_json(record))))


@routes.get("/events", allow_head=False)
async def list_all_events(request: web.Request) -> web.Response:
    """Answer with a page of the events of all streams, and the position to go on after; null: that was all."""
    check_parameters(request, "after", "limit", *_SELECTION, repeatable=("type", "tag"))
    after, limit = number_in(request, "after", 0), limit_in(request)
    with refusing():
        source: Source[RecordedEvent[UntypedEvent]] = request.app[NODE].journal.records(
            after, **_selection(request), event_type=UntypedEvent
        )
    return answer(await page("events", source, limit, record_as_json, lambda record: record.position))


@routes.get("/feed", allow_head=False)
async def follow_all(request: web.Request) -> web.StreamResponse:
    """Answer with the events of all streams, then new ones as they come, until the client leaves."""
    check_parameters(request, "after", *_SELECTION, repeatable=("type", "tag"))
    journal = request.app[NODE].journal
    with refusing():
        after = _after_in(request, journal.store.tail.position)
        source: Source[RecordedEvent[UntypedEvent]] = journal.live_records(
            after, **_selection(request), event_type=UntypedEvent
        )
    return await feed(request, source.map(lambda record: (record.position, record_as_json(record))))


def _summary_as_json(summary: StreamSummary) -> dict[str, Any]:
    return {"stream_id": summary.stream_id, "kind": summary.kind, "events": summary.sequence_number}


def _selection(request: web.Request) -> dict[str, Any]:
    query = request.query
    return {"prefix": text_in(request, "prefix"), "types": query.getall("type", []), "tags": query.getall("tag", [])}


def _after_in(request: web.Request, head: int) -> int:
    """Return where a feed begins: after a number, "now", or what a client had seen last that comes again."""
    seen = request.headers.get("Last-Event-ID", "")
    if seen.isascii() and seen.isdecimal() and len(seen) < 20:
        return min(int(seen), POSITION_MAX)
    return head if request.query.get("after") == "now" else number_in(request, "after", 0)


def _kind_in(request: web.Request) -> StreamKind | None:
    text = request.query.get("kind")
    for kind in KINDS:
        if text == kind:
            return kind
    if text is not None:
        raise RefusedRequestError(400, f"kind must be 'plain' or 'replicated', not {text!r:.100}")
    return None


async def _kind_of(node: Node, stream_id: str) -> StreamKind | None:
    summary = await node.journal.store.stream(stream_id)
    return None if summary is None else summary.kind


async def _existing(request: web.Request) -> Stream:
    node, stream_id = request.app[NODE], request.match_info["stream"]
    wanted = _kind_in(request)
    with refusing():
        kind = wanted or await _kind_of(node, stream_id)
        stream = None if kind is None else _stream(node, stream_id, kind)
    if stream is None or not await _length(stream):
        raise RefusedRequestError(404, f"there is no {f'{wanted} ' if wanted else ''}stream {stream_id!r}")
    return stream


def _stream(node: Node, stream_id: str, kind: StreamKind) -> Stream:
    if kind == "plain":
        return node.journal.event_stream(stream_id, UntypedEvent)
    return node.journal.replicated_event_stream(stream_id, UntypedEvent, replica_id=node.replica_id)


async def _length(stream: Stream) -> int:
    return await (stream.version() if isinstance(stream, EventStream) else stream.sequence_number())


async def _observe(stream: Stream, asked: EventRequest) -> None:
    """Let the writer have observed what he says, or all that is here."""
    if isinstance(stream, EventStream):
        if asked.observed is not None:
            raise RefusedRequestError(400, "observed is for replicated streams; a plain one has one writer")
        return
    here = await stream.version()
    observed = here if asked.observed is None else VersionVector(asked.observed)
    if not here.descends(observed):
        raise RefusedRequestError(
            409,
            f"observed must be of events that are here, not {asked.observed!r:.200}: they may still come",
            actual=here.to_dict(),
        )
    stream.observe(observed)


_SELECTION = ("prefix", "type", "tag")
