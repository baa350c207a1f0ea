"""The peers that are connected, by one link each."""

from collections.abc import Iterator

from crdts import VersionVector
from replication.core.link import Link


class Neighbours:
    """All links.

    Attributes:
        ids: who is connected, in order.
    """

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._epochs = 0
        self.ids: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, peer: object) -> bool:
        return peer in self._links

    def get(self, peer: str) -> Link | None:
        """Return the link to a peer, or None."""
        return self._links.get(peer)

    def connect(self, peer: str) -> Link:
        """Return a new link to a peer; it replaces an earlier one."""
        self._epochs += 1
        self._links.pop(peer, None)
        self._links[peer] = link = Link(peer, self._epochs)
        self.ids = tuple(sorted(self._links))
        return link

    def disconnect(self, peer: str) -> None:
        """Forget the link to a peer."""
        self._links.pop(peer, None)
        self.ids = tuple(sorted(self._links))

    def hear_rumour(self, peer: str, vector: VersionVector) -> None:
        """Note that others say that a peer holds something; it is told, if it did not say so itself."""
        link = self._links[peer]
        if link.ready and not link.said.descends(vector):
            link.rumour = link.rumour.merge(vector)
            link.told_matrix = None

    def begin(self, link: Link) -> None:
        """Begin again with what a peer has said that it holds; answers to earlier reads are void."""
        self._epochs += 1
        link.begin(link.said, self._epochs)
