"""Changing CRDTs, beside those of Rust libraries and beside plain Python."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from benchmarks import plain
from benchmarks.peers import CrdtPeer, crdt_peers
from benchmarks.setting import Setting
from benchmarks.stopwatch import rate, rate_of_repeating
from benchmarks.table import OPERATIONS_PER_SECOND, Benchmark, Contender, Table, compare
from crdts import GCounter, LWWMap, LWWRegister, Operation, ORMap, ORSet, PNCounter

_EACH_ITS_OWN = "Ours returns the operation to ship; theirs are one commit, or transaction, each."


def set_add(setting: Setting) -> Table:
    """Measure additions of new elements to a set."""
    elements = strings("a", setting.count(100_000, 100))
    targets = {"loro": 2.0, "pycrdt": 3.0}
    return compare(
        setting,
        "Adding short strings to a set",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: ORSet.add", lambda: rate(ORSet("a").add, elements)),
            *beside_peers("map set", lambda peer: _assigning(peer, elements), targets),
            Contender("plain set.add", lambda: rate(set[str]().add, elements)),
        ],
        f"{len(elements):,} elements a round, none of them there before. {_EACH_ITS_OWN}",
    )


def counter_increment(setting: Setting) -> Table:
    """Measure increments of a counter."""
    times = setting.count(100_000, 100)
    return compare(
        setting,
        "Incrementing a counter",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: GCounter.increment", lambda: rate_of_repeating(GCounter("a").increment, times)),
            *beside_peers("counter", lambda peer: _incrementing(peer, times), {"loro": 1.0}, _with_counters()),
            Contender("crdts: PNCounter.increment", lambda: rate_of_repeating(PNCounter("a").increment, times)),
            Contender("plain dict: counts[key] += 1", lambda: rate_of_repeating(plain.counter(), times)),
        ],
        _EACH_ITS_OWN,
    )


def register_assign(setting: Setting) -> Table:
    """Measure assignments to a last-writer-wins register."""
    numbers = range(setting.count(50_000, 100))
    return compare(
        setting,
        "Assigning to a last-writer-wins register",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: LWWRegister.assign", lambda: rate(LWWRegister("a").assign, numbers)),
            *beside_peers("map set of one key", lambda peer: _assigning_one_key(peer, numbers)),
            Contender("plain dict: registers[key] = x", lambda: rate(plain.register(), numbers)),
        ],
        _EACH_ITS_OWN,
    )


def map_assign(setting: Setting) -> Table:
    """Measure assignments to the keys of a last-writer-wins map."""
    keys = strings("key", 1_000) * setting.count(50)
    return compare(
        setting,
        "Assigning to 1,000 keys of a last-writer-wins map in turn",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: LWWMap.assign", lambda: rate(_assigner(LWWMap("a")), keys)),
            *beside_peers("map set", lambda peer: _assigning(peer, keys)),
            Contender("plain dict[key] = x", lambda: rate(plain.assigner(), keys)),
        ],
        _EACH_ITS_OWN,
    )


def map_update(setting: Setting) -> Table:
    """Measure updates of counters in a map."""
    keys = strings("key", 1_000) * setting.count(20)
    return compare(
        setting,
        "Incrementing counters under 1,000 keys of a map in turn",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: ORMap.update(key, PNCounter, …)", lambda: rate(_updater(ORMap("a")), keys)),
            *beside_peers("counters in a map", lambda peer: _incrementing_keys(peer, keys), peers=_with_counters()),
            Contender("plain dict[key] += 1", lambda: rate(plain.counters(), keys)),
        ],
        _EACH_ITS_OWN,
    )


def remote_apply(setting: Setting) -> Table:
    """Measure operations of another replica, from bytes."""
    elements = strings("a", setting.count(50_000, 100))
    source = ORSet[str]("a")
    wires = [source.add(element).to_bytes() for element in elements]

    def ours() -> float:
        replica = ORSet[str]("b")
        return rate(lambda wire: replica.apply(Operation.from_bytes(wire)), wires)

    updates = {peer: peer.updates(elements) for peer in crdt_peers()}
    return compare(
        setting,
        "Applying another replica's additions, one by one, from bytes",
        OPERATIONS_PER_SECOND,
        [
            Contender("crdts: ORSet.apply(Operation.from_bytes(…))", ours),
            *beside_peers("one update", lambda peer: rate(peer.document().merge, updates[peer])),
        ],
        f"{sum(map(len, wires)) / len(wires):.0f} bytes an operation of ours"
        + "".join(f", {sum(map(len, u)) / len(u):.0f} of {peer.distribution}'s" for peer, u in updates.items())
        + ".",
    )


def beside_peers(
    what: str,
    measure: Callable[[CrdtPeer], float],
    targets: Mapping[str, float] = MappingProxyType({}),
    peers: Sequence[CrdtPeer] | None = None,
) -> list[Contender]:
    """Return the installed peers, or some of them, as contenders."""
    return [
        Contender(f"{peer.name}: {what}", partial(measure, peer), targets.get(peer.distribution))
        for peer in (crdt_peers() if peers is None else peers)
    ]


def strings(prefix: str, count: int) -> list[str]:
    """Return short strings, all different."""
    return [f"{prefix}-{number}" for number in range(count)]


def _assigner(target: LWWMap[str, int]) -> Callable[[str], object]:
    return lambda key: target.assign(key, 1)


def _updater(target: ORMap[str]) -> Callable[[str], object]:
    return lambda key: target.update(key, PNCounter, lambda counter: counter.increment())


def _with_counters() -> list[CrdtPeer]:
    return [peer for peer in crdt_peers() if peer.counter is not None]


def _incrementing(peer: CrdtPeer, times: int) -> float:
    assert peer.counter is not None
    return rate_of_repeating(peer.counter(), times)


def _incrementing_keys(peer: CrdtPeer, keys: Sequence[str]) -> float:
    assert peer.counters is not None
    return rate(peer.counters(), keys)


def _assigning(peer: CrdtPeer, keys: Sequence[str]) -> float:
    document = peer.document()
    return rate(lambda key: document.assign(key, True), keys)


def _assigning_one_key(peer: CrdtPeer, numbers: Sequence[int]) -> float:
    document = peer.document()
    return rate(lambda number: document.assign("key", number), numbers)


BENCHMARKS: tuple[Benchmark, ...] = (
    set_add,
    counter_increment,
    register_assign,
    map_assign,
    map_update,
    remote_apply,
)
