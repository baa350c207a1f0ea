"""`/`, `/health`, `/metrics` and `/members` of a node's HTTP API."""

import re

import pytest

from calliope import CorruptJournalError
from replication.http_api.metrics import CONTENT_TYPE
from tests.unit.replication.http_nodes import MemoryNetwork, api, api_of, node_of, two_apis

pytestmark = pytest.mark.anyio

SAMPLE = re.compile(r'^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (-?[0-9.]+)$')


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def samples(api):
    async with api.client.get("/metrics") as response:
        assert response.headers["Content-Type"] == CONTENT_TYPE
        lines = (await response.text()).splitlines()
    found = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        assert f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}" in lines
        assert any(other.startswith(f"# HELP {name} ") for other in lines)
        found[name + (labels or "")] = float(value)
    return found


async def test_the_members_are_listed_with_their_lag():
    async with two_apis() as (berlin, lisbon):
        await lisbon.do("visits", "GCounter", "increment", replicas="all")
        [first, second] = (await berlin.get("/members"))["members"]
        [(log_id, number)] = first.pop("version").items()
        assert (log_id.startswith("lisbon~"), number) == (True, 1)
        expected = {"replica_id": "berlin", "state": "alive", "address": "berlin", "connected": False, "lag": 0}
        assert first == {**expected, "age_seconds": 0.0}
        assert (second["replica_id"], second["connected"]) == ("lisbon", True)


async def test_a_member_that_is_away_lags_behind():
    async with MemoryNetwork() as network, node_of(network, "berlin") as node, api_of(node) as berlin:
        async with node_of(network, "lisbon", ("berlin",)) as lisbon, api_of(lisbon) as other:
            await other.do("visits", "GCounter", "increment", replicas="all")
            await other.get("/keys/visits", replicas="all")
        await berlin.do("visits", "GCounter", "increment")
        await berlin.do("visits", "GCounter", "increment")
        [_, away] = (await berlin.get("/members"))["members"]
        assert (away["replica_id"], away["connected"], away["lag"] >= 2) == ("lisbon", False, True)
        assert (await samples(berlin))['calliope_member_lag{replica_id="lisbon"}'] == away["lag"]
        await berlin.delete("/members/lisbon")
        [_, removed] = (await berlin.get("/members"))["members"]
        assert (removed["state"], removed["lag"]) == ("removed", 0)


async def test_only_another_member_is_removed():
    async with api() as berlin:
        await berlin.delete("/members/berlin", 409)
        assert "'paris'" in (await berlin.delete("/members/paris", 404))["error"]


async def test_a_node_is_healthy_while_its_journal_can_be_read():
    async with api() as berlin:
        assert await berlin.get("/health") == {"status": "ok", "replica_id": "berlin", "address": "berlin"}
        berlin.fail(CorruptJournalError("page 7 is not what was written"))
        assert "page 7" in (await berlin.get("/health", 503))["error"]


async def test_metrics_tell_what_a_node_does():
    async with two_apis() as (berlin, _):
        await berlin.do('a"b', "GCounter", "increment", replicas="all")
        await berlin.post("/streams/room/events", type="Said")
        await berlin.do("x", "GCounter", "decrement", status=400)
        found = await samples(berlin)
        assert found['calliope_members{state="alive"}'] == 2
        assert found["calliope_peers"] == 1
        assert found["calliope_position"] == 1
        assert found["calliope_log_entries"] == 2
        assert found["calliope_cached_keys"] == 1
        assert found["calliope_refusals_total"] == found["calliope_http_feeds"] == 0
        assert found["calliope_sent_bytes_total"] > 0
        assert found['calliope_http_requests_total{method="POST",status="200"}'] == 2
        assert found['calliope_http_requests_total{method="POST",status="400"}'] == 1
        later = await samples(berlin)
        assert all(later[name] >= found[name] for name in found if "_total" in name), "counters only grow"


async def test_labels_hold_any_replica_id_and_methods_are_bounded():
    name = 'a"\\b\nc'
    async with MemoryNetwork() as network, node_of(network, "berlin") as node, api_of(node) as berlin:
        async with node_of(network, name, ("berlin",)) as other, api_of(other) as asked:
            await asked.do("visits", "GCounter", "increment", replicas="all")
        async with berlin.client.request("PROPFIND", "/") as response:
            assert response.status == 405
        found = await samples(berlin)
        assert r'calliope_member_lag{replica_id="a\"\\b\nc"}' in found
        assert found['calliope_http_requests_total{method="other",status="405"}'] == 1


async def test_peers_that_are_refused_are_counted():
    async with MemoryNetwork() as network, node_of(network, "berlin") as node:
        assert node.refusals == 0
        stranger = network.transport("lisbon", address="lisbon", cluster="other")
        await stranger.start(lambda connection: connection.aclose())
        node._links.add("lisbon")
        async with api_of(node) as berlin:
            while not node.refusals:
                await berlin.get("/health")
            assert (await samples(berlin))["calliope_refusals_total"] == 1


async def test_the_front_page_says_what_there_is():
    async with api() as berlin:
        front = await berlin.get("/")
        assert front["node"]["replica_id"] == "berlin"
        assert {"GET /keys/{key}", "POST /streams/{stream}/events", "GET /feed", "GET /metrics"} <= {
            f"{route['method']} {route['path']}" for route in front["routes"]
        }
        assert all(route["what"] for route in front["routes"])
