"""`/keys`: the CRDT keys of a node."""

from typing import Any

from aiohttp import web

from calliope.flow import Source
from crdts import Crdt
from replication.http_api.answers import RefusedRequestError, answer, refusing
from replication.http_api.bodies import OperationRequest, body_of
from replication.http_api.feeds import feed
from replication.http_api.node_key import NODE
from replication.http_api.operations import change_of, type_named
from replication.http_api.pages import page
from replication.http_api.parameters import check_parameters, limit_in, replicas_in, text_in, timeout_in
from replication.http_api.plain_values import as_json
from replication.node import Node
from replication.updates import Update
from replication.version_token import VersionToken

routes = web.RouteTableDef()


@routes.get("/keys", allow_head=False)
async def list_keys(request: web.Request) -> web.Response:
    """Answer with a page of the keys, and the key to go on after; null: that was all."""
    check_parameters(request, "prefix", "after", "limit")
    limit = limit_in(request)
    with refusing():
        source = request.app[NODE].replicator.keys(text_in(request, "prefix"), text_in(request, "after"))
    return answer(await page("keys", source, limit, str, str))


@routes.get("/keys/{key}", allow_head=False)
async def show_key(request: web.Request) -> web.Response:
    """Answer with the value of a key, what so many replicas know together, or once a version is here."""
    check_parameters(request, "type", "replicas", "timeout", "version")
    node, key = request.app[NODE], request.match_info["key"]
    replicas, timeout = replicas_in(request), timeout_in(request)
    crdt_type = type_named(request.query["type"]) if "type" in request.query else None
    if "version" in request.query:
        await _wait_for(node, request.query["version"], timeout)
    with refusing():
        found: Crdt | None
        if crdt_type is None:
            found = await node.replicator.find(key, replicas, timeout)
        else:
            found = await node.replicator.get(key, crdt_type, replicas, timeout)
    if found is None:
        raise RefusedRequestError(404, f"there is no key {key!r}")
    return answer(_shown(key, found))


@routes.post("/keys/{key}")
async def update_key(request: web.Request) -> web.Response:
    """Do an operation to a key, and answer with the version to wait for elsewhere."""
    check_parameters(request)
    node, key = request.app[NODE], request.match_info["key"]
    asked = await body_of(request, OperationRequest)
    log_ids = frozenset(log_id for member in await node.members() for log_id in member.vector)
    crdt_type, change = change_of(asked.type, asked.method, asked.arguments, log_ids=log_ids)
    with refusing():
        token = await node.replicator.update(key, crdt_type, change, replicas=asked.replicas, timeout=asked.timeout)
    return answer({"key": key, "type": crdt_type.type_name, "version": str(token)})


@routes.delete("/keys/{key}")
async def delete_key(request: web.Request) -> web.Response:
    """Undo everything that is known of a key."""
    check_parameters(request, "replicas", "timeout")
    key = request.match_info["key"]
    with refusing():
        token = await request.app[NODE].replicator.delete(
            key, replicas=replicas_in(request), timeout=timeout_in(request)
        )
    return answer({"key": key, "version": str(token)})


@routes.get("/keys/{key}/feed", allow_head=False)
async def follow_key(request: web.Request) -> web.StreamResponse:
    """Answer with the value of a key, and its newest value after changes, until the client leaves."""
    check_parameters(request)
    with refusing():
        source: Source[Update[Any]] = request.app[NODE].replicator.updates(request.match_info["key"])
    return await feed(request, source.map(lambda update: (None, _updated(update))))


async def _wait_for(node: Node, text: str, timeout: float) -> None:
    with refusing():
        token = VersionToken.parse(text)
    try:
        await node.replicator.wait_until_version(token, timeout)
    except TimeoutError as error:
        raise RefusedRequestError(504, str(error)) from None


def _shown(key: str, value: Crdt) -> dict[str, Any]:
    return {"key": key, "type": value.type_name, "value": as_json(value.value)}


def _updated(update: Update[Any]) -> dict[str, Any]:
    return {**_shown(update.key, update.value), "origin": update.origin}
