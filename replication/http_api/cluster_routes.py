"""`/`, `/health`, `/metrics` and `/members`: the node and its cluster."""

from typing import Any

import anyio
from aiohttp import web

from calliope import CalliopeError
from replication.core.replica import MemberReport
from replication.http_api.answers import RefusedRequestError, answer
from replication.http_api.feeds import FEEDS
from replication.http_api.metrics import CONTENT_TYPE, metrics
from replication.http_api.node_key import NODE
from replication.http_api.parameters import check_parameters
from replication.http_api.traffic import TRAFFIC
from replication.node import Node

HEALTHY_SECONDS = 5.0
"""How long the journal may take to read a little."""

routes = web.RouteTableDef()


@routes.get("/", allow_head=False)
async def show_routes(request: web.Request) -> web.Response:
    """Answer with what there is."""
    check_parameters(request)
    places = [
        {"method": route.method, "path": route.resource.canonical, "what": (route.handler.__doc__ or "").strip()}
        for route in request.app.router.routes()
        if route.resource is not None
    ]
    return answer({"node": _shown_node(request.app[NODE]), "routes": places})


@routes.get("/health")
async def show_health(request: web.Request) -> web.Response:
    """Answer whether the journal can be read: 200, or 503 with the reason."""
    node = request.app[NODE]
    try:
        with anyio.fail_after(HEALTHY_SECONDS):
            await node.journal.store.streams(prefix="", after="", limit=1)
    except TimeoutError:
        raise RefusedRequestError(503, f"the journal was not read within {HEALTHY_SECONDS:g} seconds") from None
    except CalliopeError as error:
        raise RefusedRequestError(503, str(error)) from None
    return answer({"status": "ok", **_shown_node(node)})


@routes.get("/metrics", allow_head=False)
async def show_metrics(request: web.Request) -> web.Response:
    """Answer with numbers, in Prometheus' text format."""
    text = await metrics(request.app[NODE], request.app[TRAFFIC], request.app[FEEDS])
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


@routes.get("/members", allow_head=False)
async def list_members(request: web.Request) -> web.Response:
    """Answer with the replicas of the cluster: this one first, removed ones last."""
    check_parameters(request)
    node = request.app[NODE]
    members = [_shown(member, node.peers) for member in await node.members()]
    return answer({"members": members})


@routes.delete("/members/{replica}")
async def remove_member(request: web.Request) -> web.Response:
    """Remove a replica from the cluster for ever; it comes back under another id only."""
    check_parameters(request)
    node, replica_id = request.app[NODE], request.match_info["replica"]
    if replica_id not in [member.replica_id for member in await node.members()]:
        raise RefusedRequestError(404, f"there is no member {replica_id!r}")
    if replica_id == node.replica_id:
        raise RefusedRequestError(409, f"{replica_id!r} is this replica itself: another one has to remove it")
    await node.remove(replica_id)
    return answer({"replica_id": replica_id, "state": "removed"})


def _shown_node(node: Node) -> dict[str, Any]:
    return {"replica_id": node.replica_id, "address": node.address}


def _shown(member: MemberReport, connected: frozenset[str]) -> dict[str, Any]:
    return {
        "replica_id": member.replica_id,
        "state": member.state,
        "address": member.address,
        "connected": member.replica_id in connected,
        "lag": member.lag,
        "age_seconds": round(member.age_seconds, 3),
        "version": member.vector.to_dict(),
    }
