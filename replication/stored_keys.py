"""`StoredKeys`: tells which keys surely have no stored state, so that nobody looks for it.

A Bloom filter (Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", CACM 1970) in layers that double,
with all bits of a key from one hash (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006). It takes two to
four bytes a key, and one key in a hundred is looked for in vain. It is filled in the background, page by page.
"""

from calliope.stores.replica_store import ReplicaStore

PAGE_KEYS = 1_000
"""How many keys are read at once."""

BITS_A_KEY = 12
HASHES = 4
FIRST_LAYER_BITS = 1 << 20


class _Layer:
    """A Bloom filter of a fixed size."""

    __slots__ = ("_bits", "_mask", "room")

    def __init__(self, bit_count: int) -> None:
        self._bits = bytearray(bit_count // 8)
        self._mask = bit_count - 1
        self.room = bit_count // BITS_A_KEY

    def add(self, first: int, step: int) -> None:
        for bit in range(first, first + HASHES * step, step):
            self._bits[(bit & self._mask) >> 3] |= 1 << (bit & 7)
        self.room -= 1

    def may_hold(self, first: int, step: int) -> bool:
        for bit in range(first, first + HASHES * step, step):
            if not self._bits[(bit & self._mask) >> 3] >> (bit & 7) & 1:
                return False
        return True


class StoredKeys:
    """The keys that may have a stored state."""

    def __init__(self) -> None:
        self._layers = [_Layer(FIRST_LAYER_BITS)]
        self._is_complete = False

    def add(self, key: str) -> None:
        """Note that a key has a stored state."""
        first, step = _hashes(key)
        if any(layer.may_hold(first, step) for layer in self._layers):
            return
        if not self._layers[-1].room:
            self._layers.append(_Layer(FIRST_LAYER_BITS << len(self._layers)))
        self._layers[-1].add(first, step)

    def may_hold(self, key: str) -> bool:
        """Return False if a key surely has no stored state."""
        if not self._is_complete:
            return True
        first, step = _hashes(key)
        return any(layer.may_hold(first, step) for layer in self._layers)

    async def scan(self, store: ReplicaStore) -> None:
        """Note the keys of a store; those that are stored meanwhile must be added."""
        after = ""
        while True:
            page = await store.states(after=after, limit=PAGE_KEYS, bodies=False)
            for state in page:
                self.add(state.key)
            if len(page) < PAGE_KEYS:
                break
            after = page[-1].key
        self._is_complete = True


def _hashes(key: str) -> tuple[int, int]:
    both = hash(key) & 0xFFFF_FFFF_FFFF_FFFF
    return both & 0xFFFF_FFFF, both >> 32 | 1
