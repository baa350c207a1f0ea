"""What is no key, type, value, function, quorum, time or token is refused at once, named, and changes nothing."""

import math

import pytest

from crdts import CrdtError, GCounter, ORMap, ORSet
from replication import QuorumTimeoutError, VersionToken
from tests.unit.replication.replicators import Peers, names, new_store, running, value_of

pytestmark = pytest.mark.anyio


async def asynchronous(value):
    raise AssertionError("nobody runs this")


def generating(value):
    yield value.increment()


async def both(value):
    yield value.increment()


NOT_KEYS = [
    (None, TypeError, "key must be a str, not None"),
    (7, TypeError, "key must be a str, not 7"),
    (b"visits", TypeError, "key must be a str, not b'visits'"),
    (["visits"], TypeError, "key must be a str, not ['visits']"),
    ("", ValueError, "key must not be empty"),
    ("a\0b", ValueError, "must not contain NUL"),
    ("k" * 513, ValueError, "must have at most 512 bytes in UTF-8, not 513"),
    ("\ud800", ValueError, "must not contain lone surrogates"),
]
NOT_TYPES = [
    (None, TypeError, "a CRDT class, such as ORSet, not None"),
    (int, TypeError, "a CRDT class, such as ORSet, not <class 'int'>"),
    ("GCounter", TypeError, "a CRDT class, such as ORSet, not 'GCounter'"),
    ({"a": 1}, TypeError, "a CRDT class, such as ORSet, not {'a': 1}"),
    ([], TypeError, "a CRDT class, such as ORSet, not []"),
]
NOT_QUORUMS = [
    (0, ValueError, "replicas must be a number from 1 on, 'majority' or 'all', not 0"),
    (-3, ValueError, "not -3"),
    (True, ValueError, "not True"),
    (2.0, ValueError, "not 2.0"),
    (math.nan, ValueError, "not nan"),
    ("most", ValueError, "not 'most'"),
    (None, ValueError, "not None"),
    ([2], ValueError, "not [2]"),
]
NOT_TIMES = [
    (-1, ValueError, "timeout must be a number of seconds from 0 on, not -1"),
    (-0.001, ValueError, "not -0.001"),
    (math.nan, ValueError, "not nan"),
    (10**400, ValueError, "a number of seconds"),
    ("5", TypeError, "timeout must be a number of seconds from 0 on, not '5'"),
    (True, TypeError, "not True"),
]
ALWAYS_A_TIME = [*NOT_TIMES, (None, TypeError, "not None")]
NOT_CHANGES = [
    ((GCounter,), TypeError, "and a function that changes the value, not None"),
    ((GCounter, 5), TypeError, "and a function that changes the value, not 5"),
    ((GCounter, asynchronous), TypeError, "must be a plain function"),
    ((GCounter, generating), TypeError, "must be a plain function"),
    ((GCounter, both), TypeError, "must be a plain function"),
    ((GCounter, lambda visits: (visits.increment() for _ in "ab")), TypeError, "must be a plain function"),
    (({"milk": 1},), TypeError, "a value that `get` handed out, or a CRDT class and a function, not {'milk': 1}"),
    (([1, 2],), TypeError, "a value that `get` handed out, or a CRDT class and a function, not [1, 2]"),
    ((5, GCounter.increment), TypeError, "a CRDT class, such as ORSet, not 5"),
    (({}, GCounter.increment), TypeError, "a CRDT class, such as ORSet, not {}"),
    ((GCounter("a"),), ValueError, "was not handed out by `get`"),
    ((GCounter("a"), GCounter.increment), TypeError, "the value itself, or its class and a function, not both"),
]
NOT_PREDICATES = [
    (None, TypeError, "predicate must be a function of the value, not None"),
    (True, TypeError, "predicate must be a function of the value, not True"),
    (asynchronous, TypeError, "must be a plain function"),
]
NOT_TOKENS = [
    (None, TypeError, "token must be a VersionToken, as `update` returns it, not None"),
    ("1@a~01", TypeError, "VersionToken.parse"),
    (("a~01", 1), TypeError, "must be a VersionToken"),
]
NOT_TEXT = [
    (None, TypeError, "must be a str, not None"),
    (0, TypeError, "must be a str, not 0"),
    (b"", TypeError, "must be a str, not b''"),
    ("k" * 513, ValueError, "at most 512 bytes"),
    ("\0", ValueError, "must not contain NUL"),
]
MISTAKES = [
    *[("get", "key", mistake) for mistake in NOT_KEYS],
    *[("get", "crdt_type", mistake) for mistake in NOT_TYPES],
    *[("get", "replicas", mistake) for mistake in NOT_QUORUMS],
    *[("get", "timeout", mistake) for mistake in ALWAYS_A_TIME],
    *[("find", "key", mistake) for mistake in NOT_KEYS],
    *[("find", "replicas", mistake) for mistake in NOT_QUORUMS],
    *[("find", "timeout", mistake) for mistake in ALWAYS_A_TIME],
    *[("update", "key", mistake) for mistake in NOT_KEYS],
    *[("update", "change", mistake) for mistake in NOT_CHANGES],
    *[("update", "replicas", mistake) for mistake in NOT_QUORUMS],
    *[("update", "timeout", mistake) for mistake in ALWAYS_A_TIME],
    *[("delete", "key", mistake) for mistake in NOT_KEYS],
    *[("delete", "replicas", mistake) for mistake in NOT_QUORUMS],
    *[("delete", "timeout", mistake) for mistake in ALWAYS_A_TIME],
    *[("updates", "key", mistake) for mistake in NOT_KEYS],
    *[("wait_until", "key", mistake) for mistake in NOT_KEYS],
    *[("wait_until", "predicate", mistake) for mistake in NOT_PREDICATES],
    *[("wait_until", "timeout", mistake) for mistake in NOT_TIMES],
    *[("wait_until_version", "token", mistake) for mistake in NOT_TOKENS],
    *[("wait_until_version", "timeout", mistake) for mistake in NOT_TIMES],
    *[("keys", "prefix", mistake) for mistake in NOT_TEXT],
    *[("keys", "after", mistake) for mistake in NOT_TEXT],
]


async def call(replicator, method, argument, value):
    good = {
        "get": {"key": "visits", "crdt_type": GCounter},
        "find": {"key": "visits"},
        "delete": {"key": "visits"},
        "updates": {"key": "visits"},
        "wait_until": {"key": "visits", "predicate": lambda visits: True},
        "wait_until_version": {"token": VersionToken("a~01", 1)},
        "keys": {},
    }
    if method == "update":
        given = {"key": "visits", "change": (GCounter, GCounter.increment), argument: value}
        rest = {name: each for name, each in given.items() if name not in ("key", "change")}
        await replicator.update(given["key"], *given["change"], **rest)
        return
    result = getattr(replicator, method)(**{**good[method], argument: value})
    if method not in ("updates", "keys"):
        await result


async def test_a_mistake_is_refused_with_what_was_given_and_what_was_expected_and_changes_nothing():
    async with running() as a:
        await a.replicator.update("visits", GCounter, GCounter.increment)
        told = []
        for method, argument, (value, error, message) in MISTAKES:
            try:
                await call(a.replicator, method, argument, value)
            except Exception as caught:
                if type(caught) is not error or message not in str(caught):
                    told.append((method, argument, repr(value)[:50], repr(caught)))
            else:
                told.append((method, argument, repr(value)[:50], "was accepted"))
        assert told == []
        assert len(a.store.commits) == 1
        assert await value_of(a, "visits", GCounter) == 1
        assert await names(a) == ["visits"]


async def test_a_time_without_end_and_no_time_at_all_are_times():
    async with running() as a:
        await a.replicator.update("visits", GCounter, GCounter.increment, replicas="all", timeout=math.inf)
        await a.replicator.update("visits", GCounter, GCounter.increment, timeout=0)
        assert (await a.replicator.get("visits", GCounter, "all", timeout=0)).value == 2
        assert (await a.replicator.wait_until("visits", lambda visits: visits.value == 2, timeout=0)).value == 2
        await a.replicator.wait_until_version(VersionToken("a~01", 2), timeout=None)


async def test_more_replicas_than_there_are_time_out_and_what_was_written_stays():
    store, other = await new_store("a~01"), await new_store("b~01")
    async with running(store, agreement=Peers(store, other)) as a:
        for call_of_three in (
            a.replicator.update("visits", GCounter, GCounter.increment, replicas=3, timeout=0.01),
            a.replicator.get("visits", GCounter, replicas=3, timeout=0.01),
        ):
            with pytest.raises(QuorumTimeoutError) as caught:
                await call_of_three
            assert (caught.value.required, caught.value.acknowledged) == (3, ("a", "b"))
        assert await value_of(a, "visits", GCounter) == 1


async def test_a_value_inside_a_map_is_not_submitted_for_its_key():
    async with running() as a:
        carts = await a.replicator.get("carts", ORMap)
        parts = []
        carts.update("anna", ORSet, lambda cart: [cart.add("milk"), parts.append(cart)])
        with pytest.raises(CrdtError, match="part of an ORMap"):
            await a.replicator.update("carts", parts[0])
        assert a.store.commits == []
        await a.replicator.update("carts", carts)
        assert (await value_of(a, "carts", ORMap)) == {"anna": {"milk"}}
