"""`/streams` and `/events` of a node's HTTP API: appending once, conflicts, pages."""

import pytest

from calliope import UntypedEvent
from replication.http_api.pages import PAGE_BYTES_MAX
from tests.unit.replication.http_nodes import api, two_apis

pytestmark = pytest.mark.anyio

SAID = {"type": "Said", "data": {"text": "hello"}}


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def texts(api, path="/streams/room/events", **parameters):
    return [event["data"]["text"] for event in (await api.get(path, **parameters))["events"]]


async def test_an_event_is_appended_and_read_with_its_place_and_context():
    async with api() as berlin:
        appended = await berlin.post(
            "/streams/room/events", **SAID, tags=["b", "a"], metadata={"user": 7}, event_id="e-1", schema_version=2
        )
        assert appended.pop("concurrent_updates") == []
        assert appended.pop("concurrent_update_detected") is False
        assert appended.pop("timestamp").endswith("+00:00")
        assert appended == {
            "stream_id": "room",
            "sequence_number": 1,
            "position": 1,
            "id": "e-1",
            "type": "Said",
            "schema_version": 2,
            "replica_id": "berlin",
            "version": {"berlin": 1},
            "tags": ["a", "b"],
            "metadata": {"user": 7},
            "data": {"text": "hello"},
        }
        [read] = (await berlin.get("/streams/room/events"))["events"]
        assert {**read, "timestamp": ""} == {**appended, "timestamp": ""}
        assert await berlin.get("/streams") == {
            "streams": [{"stream_id": "room", "kind": "replicated", "events": 1}],
            "next": None,
        }


async def test_an_event_that_is_sent_again_under_its_id_is_written_once():
    async with api() as berlin:
        first = await berlin.post("/streams/room/events", **SAID, event_id="e-1")
        await berlin.post("/streams/room/events", **SAID)
        assert await berlin.post("/streams/room/events", **SAID, event_id="e-1") == first
        assert await texts(berlin) == ["hello", "hello"]


async def test_an_expected_version_that_is_not_there_conflicts():
    async with api() as berlin:
        await berlin.post("/streams/room/events", **SAID, expected_version=0)
        refused = await berlin.post("/streams/room/events", 409, **SAID, expected_version=0)
        assert (refused["expected"], refused["actual"]) == (0, 1)
        assert await texts(berlin) == ["hello"]


async def test_a_stream_is_of_one_kind():
    async with api() as berlin:
        appended = await berlin.post("/streams/plain/events", **SAID, kind="plain", expected_version=0)
        assert appended["replica_id"] == berlin.node.journal.id
        await berlin.post("/streams/plain/events", **SAID)
        assert await texts(berlin, "/streams/plain/events") == ["hello", "hello"]
        assert await texts(berlin, "/streams/plain/events", kind="plain", after="1") == ["hello"]
        refused = await berlin.post("/streams/plain/events", 409, **SAID, kind="replicated")
        assert (refused["expected"], refused["actual"]) == ("replicated", "plain")
        assert (
            "no replicated stream 'plain'"
            in (await berlin.get("/streams/plain/events", 404, kind="replicated"))["error"]
        )
        assert "'public'" in (await berlin.get("/streams/plain/events", 400, kind="public"))["error"]
        assert "observed" in (await berlin.post("/streams/plain/events", 400, **SAID, observed={}))["error"]


async def test_what_a_writer_had_not_observed_is_reported_to_him():
    async with two_apis() as (berlin, lisbon):
        read = await lisbon.post("/streams/tea/events", type="Renamed", data={"to": "tea"})
        await lisbon.post("/streams/tea/events", type="Renamed", data={"to": "green tea"})
        await lisbon.do("token", "GCounter", "increment", replicas="all")
        reply = await berlin.post(
            "/streams/tea/events", type="Renamed", data={"to": "black tea"}, observed=read["version"]
        )
        assert reply["concurrent_update_detected"]
        assert [event["data"] for event in reply["concurrent_updates"]] == [{"to": "green tea"}]
        assert reply["version"] == {"berlin": 1, "lisbon": 1}
        reply = await berlin.post("/streams/tea/events", type="Renamed", data={"to": "white tea"})
        assert (reply["concurrent_update_detected"], reply["version"]) == (False, {"berlin": 2, "lisbon": 2})
        refused = await berlin.post("/streams/tea/events", 409, **SAID, observed={"lisbon": 3})
        assert refused["actual"] == {"berlin": 2, "lisbon": 2}


async def test_an_event_is_answered_when_so_many_replicas_hold_it():
    async with two_apis() as (berlin, lisbon):
        for count in (2, "all", "majority"):
            await berlin.post("/streams/room/events", **SAID, replicas=count, timeout=30)
            assert await texts(lisbon) == await texts(berlin)
        again = {**SAID, "event_id": "e-1"}
        await lisbon.post("/streams/room/events", **again)
        refused = await lisbon.post("/streams/room/events", 504, **again, replicas=3, timeout=0.01)
        assert (refused["required"], set(refused["acknowledged"])) == (3, {"berlin", "lisbon"})
        first = await lisbon.post("/streams/room/events", **again, replicas=2)
        assert (first["sequence_number"], first["id"]) == (4, "e-1"), "what had too few replicas is asked for again"


REFUSED = [
    ({"data": {}}, "type"),
    ({"type": ""}, "event type"),
    ({"type": "Said", "data": {"at": {"time": "noon"}}}, "noon"),
    ({"type": "Said", "data": 2**70}, "cannot be stored"),
    ({"type": "Said", "tags": [""]}, "tag"),
    ({"type": "Said", "tags": "a"}, "Expected `array`"),
    ({"type": "Said", "event_id": "a" * 129}, "event_id"),
    ({"type": "Said", "expected_version": -1}, "expected_version"),
    ({"type": "Said", "observed": {"a": -1}}, "observed"),
    ({"type": "Said", "metadata": []}, "metadata"),
    ({"type": "Said", "kind": "both"}, "kind"),
    ({"type": "Said", "schema_version": 0}, "schema_version"),
    ({"type": "Said", "stream": "a"}, "stream"),
    ({"type": "Said", "replicas": 0}, "replicas"),
    ({"type": "Said", "replicas": "some"}, "replicas"),
    ({"type": "Said", "timeout": 61}, "timeout"),
    ({"type": "Said", "kind": "plain", "replicas": 2}, "replicas is for replicated streams"),
    ({"type": "Said", "data": "x" * 800_000}, "cannot be stored"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED, ids=lambda part: part if type(part) is str else "")
async def test_what_is_wrong_with_an_event_is_said_and_nothing_is_written(body, reason):
    async with api() as berlin:
        assert reason in (await berlin.post("/streams/room/events", 400, **body))["error"]
        assert "'room'" in (await berlin.get("/streams/room/events", 404))["error"]


async def test_whatever_plain_data_an_event_has_comes_back():
    data = {"bytes": {"base64": "AAEC"}, "float": {"float": "-inf"}, "map": {"entries": [[1, None], [[2, 3], True]]}}
    data["time"] = {"time": "2026-05-01T12:00:00+00:00"}
    async with api() as berlin:
        appended = await berlin.post("/streams/room/events", type="Odd", data=data, metadata={"from": {"base64": ""}})
        assert (appended["data"], appended["metadata"]) == (data, {"from": {"base64": ""}})
        [event] = await berlin.node.journal.records(event_type=UntypedEvent).run_collect()
        assert event.data.data["bytes"] == b"\0\1\2"


async def test_the_events_of_all_streams_are_chosen_by_prefix_type_and_tag():
    async with api() as berlin:
        for number, (stream, kind, tags) in enumerate(
            [("a-1", "A", ["x"]), ("a-2", "B", ["x", "y"]), ("b-1", "B", [])]
        ):
            await berlin.post(f"/streams/{stream}/events", type=kind, data={"text": str(number)}, tags=tags)
        assert await texts(berlin, "/events") == ["0", "1", "2"]
        assert await texts(berlin, "/events", prefix="a-") == ["0", "1"]
        assert await texts(berlin, "/events", type="B") == ["1", "2"]
        assert await texts(berlin, "/events?type=A&type=B&tag=x") == ["0", "1"]
        assert await texts(berlin, "/events?tag=x&tag=y") == ["1"]
        assert "tag" in (await berlin.get("/events", 400, tag=""))["error"]
        assert "once" in (await berlin.get("/events?prefix=a&prefix=b", 400))["error"]


async def test_pages_say_where_to_go_on():
    async with api() as berlin:
        for text in "abc":
            await berlin.post("/streams/room/events", type="Said", data={"text": text})
            await berlin.post(f"/streams/room-{text}/events", type="Said", data={"text": text})
        first = await berlin.get("/streams/room/events", limit="2")
        assert ([event["data"]["text"] for event in first["events"]], first["next"]) == (["a", "b"], 2)
        assert await texts(berlin, after="2") == ["c"]
        page = await berlin.get("/events", limit="4")
        assert page["next"] == page["events"][-1]["position"]
        assert len((await berlin.get("/events", after=str(page["next"])))["events"]) == 2
        streams = await berlin.get("/streams", limit="2")
        assert ([stream["stream_id"] for stream in streams["streams"]], streams["next"]) == (
            ["room", "room-a"],
            "room-a",
        )
        rest = await berlin.get("/streams", after="room-a", prefix="room-")
        assert ([stream["stream_id"] for stream in rest["streams"]], rest["next"]) == (["room-b", "room-c"], None)


async def test_a_page_is_bounded_in_bytes():
    async with api() as berlin:
        large = UntypedEvent("Said", {"text": "x" * 700_000})
        count = PAGE_BYTES_MAX // 700_000 + 3
        await berlin.node.journal.event_stream("large", UntypedEvent).persist([large] * count)
        page = await berlin.get("/streams/large/events")
        assert page["next"] == len(page["events"]) == PAGE_BYTES_MAX // 700_000 + 1
        assert len((await berlin.get("/streams/large/events", after=str(page["next"])))["events"]) == 2
