"""Whole states of CRDTs: merging them, encoding them, and the memory that they take."""

from collections.abc import Callable, Iterable

from benchmarks.crdts import beside_peers, strings
from benchmarks.peers import CrdtDocument, CrdtPeer, crdt_peers
from benchmarks.setting import Setting
from benchmarks.stopwatch import memory, milliseconds
from benchmarks.table import BYTES, MILLISECONDS, Benchmark, Contender, Table, compare
from crdts import GCounter, ORSet

_FASTER = {"loro": 1.0, "pycrdt": 1.0}


def merge(setting: Setting) -> Table:
    """Measure the merge of two large sets that have nothing in common."""
    count = setting.count(100_000, 100)
    return _merge_of(
        setting,
        f"Merging two sets of {count:,} elements each",
        strings("a", count),
        strings("b", count),
        "Written by two replicas, with no element in common.",
    )


def merge_of_overlapping(setting: Setting) -> Table:
    """Measure the merge of two large sets that share half of their elements."""
    count = setting.count(100_000, 100)
    elements = strings("a", count + count // 2)
    return _merge_of(
        setting,
        f"Merging two sets of {count:,} elements each, half of them in both",
        elements[:count],
        elements[count // 2 :],
        "Written by two replicas, each of which added the shared elements itself: each of these has two additions.",
    )


def encoding(setting: Setting) -> Table:
    """Measure how fast a set becomes bytes."""
    count = setting.count(100_000, 100)
    elements = strings("a", count)
    ours = _filled(ORSet("a"), elements)
    documents = {peer: _document(peer, elements) for peer in crdt_peers()}
    return compare(
        setting,
        f"Encoding a set of {count:,} elements",
        MILLISECONDS,
        [
            Contender("crdts: ORSet.to_bytes", lambda: milliseconds(ours.to_bytes)),
            *beside_peers("all updates", lambda peer: milliseconds(documents[peer].encode)),
        ],
        "How many bytes it becomes is in another table.",
    )


def decoding(setting: Setting) -> Table:
    """Measure how fast bytes become a set."""
    count = setting.count(100_000, 100)
    elements = strings("a", count)
    data = _filled(ORSet("a"), elements).to_bytes()
    peers = {peer: _encoded(peer, elements) for peer in crdt_peers()}
    return compare(
        setting,
        f"Decoding a set of {count:,} elements",
        MILLISECONDS,
        [
            Contender("crdts: ORSet.from_bytes", lambda: milliseconds(lambda: ORSet.from_bytes(data, "b"))),
            *beside_peers("import into an empty document", lambda peer: _importing(peer, peers[peer])),
        ],
        "Ours checks everything that it decodes.",
    )


def encoded_size(setting: Setting) -> Table:
    """Measure the bytes that a set takes on the wire."""
    elements = strings("a", setting.count(100_000, 100))
    return compare(
        setting.once(),
        "Bytes an element of an encoded set",
        BYTES,
        [
            Contender("crdts: ORSet.to_bytes", lambda: len(_filled(ORSet("a"), elements).to_bytes()) / len(elements)),
            *beside_peers("all updates", lambda peer: len(_encoded(peer, elements)) / len(elements)),
            Contender("the text itself", lambda: len("".join(elements)) / len(elements)),
        ],
        f"{len(elements):,} elements like {elements[-1]!r}.",
    )


def memory_of_elements(setting: Setting) -> Table:
    """Measure the memory of a large set from three replicas."""
    each = setting.count(333_334, 100)

    def merged() -> ORSet[str]:
        whole = ORSet[str]("a")
        for replica_id in "abc":
            part = ORSet[str](replica_id)
            for number in range(each):
                part.add(f"{replica_id}-{number}")
            whole.merge(part)
        return whole

    def plain() -> set[str]:
        return {f"{replica_id}-{number}" for replica_id in "abc" for number in range(each)}

    return compare(
        setting.once(),
        f"Memory of each of {3 * each:,} short strings in a set, from three replicas",
        BYTES,
        [
            Contender("crdts: ORSet", lambda: memory(merged) / (3 * each), bound=200),
            Contender("plain set", lambda: memory(plain) / (3 * each)),
        ],
        "By tracemalloc: all that is left once the three are merged into one, the strings themselves included.",
    )


def memory_of_counters(setting: Setting) -> Table:
    """Measure the memory of many small counters."""
    count = setting.count(1_000_000, 100)

    def counters() -> list[GCounter]:
        made = [GCounter("berlin") for _ in range(count)]
        for counter in made:
            counter.increment()
        return made

    return compare(
        setting.once(),
        f"Memory of each of {count:,} counters",
        BYTES,
        [Contender("crdts: GCounter, incremented once", lambda: memory(counters) / count, bound=300)],
        "By tracemalloc, with the eight bytes that the list takes for each.",
    )


def _merge_of(setting: Setting, title: str, mine: list[str], theirs: list[str], note: str) -> Table:
    ours, other = _filled(ORSet("a"), mine), _filled(ORSet("b"), theirs)
    data = other.to_bytes()
    peers = {peer: (_encoded(peer, mine), _encoded(peer, theirs)) for peer in crdt_peers()}
    return compare(
        setting,
        title,
        MILLISECONDS,
        [
            Contender("crdts: ORSet.merge", lambda: _merging(ours, lambda: other)),
            *beside_peers("import the other's bytes", lambda peer: _joining(peer, *peers[peer]), _FASTER),
            Contender("crdts: ORSet.from_bytes, merge", lambda: _merging(ours, lambda: ORSet.from_bytes(data, "b"))),
            Contender("plain set |= set", lambda: _uniting(set(mine), set(theirs))),
        ],
        f"{note} Theirs merge only what is encoded; encoding it is not counted.",
    )


def _filled(replica: ORSet[str], elements: Iterable[str]) -> ORSet[str]:
    for element in elements:
        replica.add(element)
    return replica


def _merging(ours: ORSet[str], other: Callable[[], ORSet[str]]) -> float:
    """Return the milliseconds of a merge into a copy, ready to be read."""
    target = ours.copy("c")

    def join() -> None:
        target.merge(other())
        len(target)

    return milliseconds(join)


def _uniting(ours: set[str], other: set[str]) -> float:
    return milliseconds(lambda: ours.update(other))


def _document(peer: CrdtPeer, elements: Iterable[str]) -> CrdtDocument:
    document = peer.document()
    for element in elements:
        document.assign(element, True)
    return document


def _encoded(peer: CrdtPeer, elements: Iterable[str]) -> bytes:
    return _document(peer, elements).encode()


def _joining(peer: CrdtPeer, mine: bytes, theirs: bytes) -> float:
    """Return the milliseconds of joining encoded changes into a document, ready to be read."""
    document = peer.document()
    document.merge(mine)
    document.size()

    def join() -> None:
        document.merge(theirs)
        document.size()

    return milliseconds(join)


def _importing(peer: CrdtPeer, data: bytes) -> float:
    def build() -> CrdtDocument:
        document = peer.document()
        document.merge(data)
        document.size()
        return document

    return milliseconds(build)


BENCHMARKS: tuple[Benchmark, ...] = (
    merge,
    merge_of_overlapping,
    encoding,
    decoding,
    encoded_size,
    memory_of_elements,
    memory_of_counters,
)
