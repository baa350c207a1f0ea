"""`/keys` of a node's HTTP API: values, operations by name, quorums, pages."""

from io import BytesIO

import pytest
from yarl import URL

from crdts import ORSet
from tests.unit.replication.http_nodes import api, two_apis

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


CHANGES = [
    ("GCounter", [("increment", [5]), ("increment", [])], 6),
    ("GCounter", [("increment", [2**63 - 1])] * 3, 3 * (2**63 - 1)),
    ("PNCounter", [("increment", [5]), ("decrement", [7])], -2),
    ("BoundedCounter", [("increment", [5]), ("decrement", [2])], 3),
    ("GSet", [("add", ["b"]), ("add", ["a"])], ["a", "b"]),
    ("TwoPhaseSet", [("add", ["a"]), ("add", ["b"]), ("remove", ["a"])], ["b"]),
    ("ORSet", [("add", [["sku", 1]]), ("add", [{"base64": "AAEC"}]), ("remove", [["sku", 1]])], [{"base64": "AAEC"}]),
    ("RWSet", [("add", [None]), ("add", [2]), ("remove", [2])], [None]),
    ("EWFlag", [("enable", [])], True),
    ("DWFlag", [("enable", []), ("disable", [])], False),
    ("LWWRegister", [("assign", [{"a": [1, {"float": "inf"}]}])], {"a": [1, {"float": "inf"}]}),
    ("MVRegister", [("assign", ["a"]), ("assign", ["b"])], ["b"]),
    ("LWWMap", [("assign", ["a", 1]), ("assign", ["b", 2]), ("remove", ["a"])], {"b": 2}),
    ("LWWMap", [("assign", [7, "seven"])], {"entries": [[7, "seven"]]}),
    ("RGA", [("append", ["b"]), ("insert", [0, "a"]), ("append", ["c"]), ("delete", [1])], ["a", "c"]),
    ("Text", [("insert", [0, "hullo"]), ("delete", [1, 1]), ("insert", [1, "e"])], "hello"),
    ("Text", [("insert", [0, "gone"]), ("clear", []), ("insert", [0, "new"])], "new"),
]


@pytest.mark.parametrize(("crdt_type", "changes", "value"), CHANGES, ids=lambda part: part if type(part) is str else "")
async def test_every_type_is_changed_by_the_names_of_its_methods(crdt_type, changes, value):
    async with api() as berlin:
        for method, arguments in changes:
            await berlin.do("key", crdt_type, method, *arguments)
        assert await berlin.get("/keys/key") == {"key": "key", "type": crdt_type, "value": value}


async def test_a_map_is_changed_by_an_operation_on_what_it_holds():
    async with api() as berlin:
        added = {"type": "ORSet", "method": "add", "arguments": ["milk"]}
        nested = {"type": "ORMap", "method": "update", "arguments": ["inner", added]}
        await berlin.do("cart", "ORMap", "update", "anna", added)
        await berlin.do("cart", "ORMap", "update", "ben", nested)
        assert await berlin.value("cart") == {"anna": ["milk"], "ben": {"inner": ["milk"]}}
        await berlin.do("cart", "ORMap", "remove", "anna")
        assert await berlin.value("cart") == {"ben": {"inner": ["milk"]}}


REFUSED = [
    ({"type": "Counter", "method": "increment"}, "there is no type 'Counter'; there are GCounter"),
    ({"type": "GCounter", "method": "decrement"}, "no method 'decrement'; it has increment, clear"),
    ({"type": "GCounter", "method": "__init__"}, "no method '__init__'"),
    ({"type": "GCounter", "method": "increment", "arguments": [-1]}, "-1"),
    ({"type": "GCounter", "method": "increment", "arguments": ["1"]}, "an amount is an int, not '1'"),
    ({"type": "GCounter", "method": "increment", "arguments": [1, 2]}, "was given 2 arguments"),
    ({"type": "GCounter", "method": "increment", "arguments": 1}, "Expected `array`"),
    ({"type": "GCounter", "method": "increment", "replicas": 0}, "replicas"),
    ({"type": "GCounter", "method": "increment", "replicas": "most"}, "replicas"),
    ({"type": "GCounter", "method": "increment", "timeout": 61}, "timeout"),
    ({"type": "GCounter", "method": "increment", "quorum": 2}, "quorum"),
    ({"type": "GCounter"}, "method"),
    ({"type": "ORSet", "method": "add", "arguments": [{"a": 1}]}, "ORSet.add"),
    ({"type": "ORSet", "method": "add", "arguments": [{"base64": "?"}]}, "base64"),
    ({"type": "ORSet", "method": "add", "arguments": [{"float": "nan"}]}, "ORSet.add"),
    ({"type": "RGA", "method": "delete", "arguments": [3]}, "RGA.delete"),
    ({"type": "BoundedCounter", "method": "transfer", "arguments": [1, "nobody"]}, "logs that are known"),
    ({"type": "ORMap", "method": "update", "arguments": ["a"]}, "takes a key and an operation"),
    (
        {"type": "ORMap", "method": "update", "arguments": ["a", {"type": "GCounter", "method": "add"}]},
        "no method 'add'",
    ),
    ({"type": "ORMap", "method": "update", "arguments": ["a", {"type": "Flag"}]}, "no type 'Flag'"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSED, ids=lambda part: part if type(part) is str else "")
async def test_what_is_wrong_is_said_and_nothing_is_changed(body, reason):
    async with api() as berlin:
        refused = await berlin.post("/keys/key", 400, **body)
        assert reason in refused["error"]
        assert await berlin.get("/keys") == {"keys": [], "next": None}


async def test_a_counter_that_may_not_fall_below_zero_conflicts():
    async with api() as berlin:
        await berlin.do("stock", "BoundedCounter", "increment", 3)
        refused = await berlin.do("stock", "BoundedCounter", "decrement", 4, status=409)
        assert (refused["required"], refused["available"]) == (4, 3)
        assert await berlin.value("stock") == 3


async def test_rights_are_transferred_to_a_log_of_the_cluster():
    async with two_apis() as (berlin, lisbon):
        await lisbon.do("visits", "GCounter", "increment", replicas="all")
        [lisbons_log] = (await berlin.get("/members"))["members"][0]["version"]
        await berlin.do("stock", "BoundedCounter", "increment", 3)
        done = await berlin.do("stock", "BoundedCounter", "transfer", 2, lisbons_log)
        await lisbon.get("/keys/stock", version=done["version"])
        await lisbon.do("stock", "BoundedCounter", "decrement", 2)
        await lisbon.do("stock", "BoundedCounter", "decrement", 1, status=409)


async def test_a_key_holds_one_type():
    async with api() as berlin:
        await berlin.do("visits", "GCounter", "increment")
        refused = await berlin.do("visits", "ORSet", "add", 1, status=409)
        assert (refused["expected"], refused["actual"]) == ("ORSet", "GCounter")
        await berlin.get("/keys/visits", 409, type="ORSet")


async def test_a_parameter_that_is_given_twice_is_refused():
    async with api() as berlin:
        await berlin.do("visits", "GCounter", "increment")
        assert "'type' is given once" in (await berlin.get("/keys/visits?type=GCounter&type=ORSet", 400))["error"]


async def test_an_unknown_key_is_not_there_or_is_the_empty_value_of_a_type():
    async with api() as berlin:
        assert "'nothing'" in (await berlin.get("/keys/nothing", 404))["error"]
        assert (await berlin.get("/keys/nothing", type="ORSet"))["value"] == []
        assert "no type 'Set'" in (await berlin.get("/keys/nothing", 400, type="Set"))["error"]


async def test_a_deleted_key_is_not_there_until_it_is_written_again():
    async with api() as berlin:
        await berlin.do("cart", "ORSet", "add", "milk")
        await berlin.delete("/keys/cart")
        await berlin.get("/keys/cart", 404)
        await berlin.do("cart", "ORSet", "add", "bread")
        assert await berlin.value("cart") == ["bread"]


async def test_a_key_may_hold_any_character():
    async with api() as berlin:
        await berlin.do("caf%C3%A9%2F%3F%25 1", "GCounter", "increment")
        assert await berlin.get("/keys") == {"keys": ["café/?% 1"], "next": None}
        assert await berlin.value("caf%C3%A9%2F%3F%25%201") == 1
        for segment in ("%FF", "%C3", "%zz", "100%", "%f"):
            for path in (f"/keys/{segment}", f"/keys?prefix={segment}"):
                refused = await berlin.get(URL(path, encoded=True), 400)
                assert "percent-encoded UTF-8" in refused["error"]
        assert "NUL" in (await berlin.do("a%00b", "GCounter", "increment", status=400))["error"]
        assert "512" in (await berlin.do("a" * 513, "GCounter", "increment", status=400))["error"]


async def test_keys_come_in_pages_that_say_where_to_go_on():
    async with api() as berlin:
        for key in ["a-1", "b-1", "b-2", "b-3"]:
            await berlin.node.replicator.update(key, ORSet, lambda value: value.add(1))
        assert await berlin.get("/keys", prefix="b", limit="2") == {"keys": ["b-1", "b-2"], "next": "b-2"}
        assert await berlin.get("/keys", prefix="b", limit="2", after="b-2") == {"keys": ["b-3"], "next": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("limit", "٣"),
        ("after", "\0"),
        ("limit", "9" * 5000),
        ("a", "1"),
    ],
)
async def test_parameters_that_do_not_hold_are_refused(name, value):
    async with api() as berlin:
        assert name in (await berlin.get("/keys", 400, **{name: value}))["error"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replicas", "0"),
        ("replicas", "half"),
        ("timeout", "0"),
        ("timeout", "nan"),
        ("timeout", "1e9"),
        ("version", "3"),
    ],
)
async def test_parameters_of_a_read_that_do_not_hold_are_refused(name, value):
    async with api() as berlin:
        assert value in (await berlin.get("/keys/a", 400, **{name: value}))["error"]


async def test_too_few_replicas_in_time_say_who_answered_and_what_is_recorded_stays():
    async with api(peers=("lisbon",)) as berlin:
        late = await berlin.do("visits", "GCounter", "increment", 5, replicas="all", timeout=0.01, status=504)
        assert (late["required"], late["acknowledged"]) == (2, ["berlin"])
        late = await berlin.get("/keys/visits", 504, replicas="majority", timeout="0.01")
        assert (late["required"], late["acknowledged"]) == (2, ["berlin"])
        await berlin.delete("/keys/visits", 504, replicas="2", timeout="0.01")
        await berlin.get("/keys/visits", 404)


async def test_what_was_written_on_one_node_is_read_on_another():
    async with two_apis() as (berlin, lisbon):
        await berlin.do("visits", "GCounter", "increment", 5, replicas="all")
        assert await lisbon.value("visits") == 5
        done = await lisbon.do("visits", "GCounter", "increment", 2)
        assert (await berlin.get("/keys/visits", version=done["version"]))["value"] == 7, "one's own write, elsewhere"
        assert (await berlin.get("/keys/visits", replicas="all"))["value"] == 7
        unknown = await berlin.get("/keys/visits", 504, version="9@nobody~1", timeout="0.01")
        assert "9@nobody~1" in unknown["error"]


async def test_a_body_that_is_no_json_or_too_large_is_refused():
    async with api() as berlin:
        for body in (b"", b"{", b"\xff", b"[]", b"[" * 100_000):
            response = await berlin.client.post("/keys/key", data=body)
            assert response.status == 400, await response.text()
            assert "the body" in (await response.json())["error"]
        response = await berlin.client.post("/keys/key", data=BytesIO(b"[" + b" " * 3_000_000))
        assert (response.status, (await response.json())["error"]) == (413, "a body must have at most 2097152 bytes")
