"""The order of a document's runs: a B-tree that counts visible elements, with runs linked to their neighbours.

Every node knows how many visible elements are below it, so the run at an index is found in O(log n) (Bayer and
McCreight, "Organization and maintenance of large ordered indices", 1972; counted as in an order-statistic tree). Nodes
are split when they are full and dropped when they are empty; `rebuild` packs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

from crdts.run import END, SETTLED_CLOCK, START, Run

NODE_SIZE_MAX: Final = 48
NODE_SIZE_PACKED: Final = 32


class Node:
    """A node of the tree: a leaf holds runs, any other node holds nodes.

    Attributes:
        items: what is below it, in document order.
        visible: the number of visible elements below it.
        above: the node that holds it; None at the root.
        holds_runs: whether it is a leaf.
    """

    __slots__ = ("above", "holds_runs", "items", "visible")

    def __init__(self, items: list[Any], *, holds_runs: bool) -> None:
        self.items = items
        self.holds_runs = holds_runs
        self.above: Node | None = None
        self.visible = 0
        for item in items:
            item.above = self
            self.visible += item.visible


class RunTree:
    """The runs of one document in order.

    `first` is a run of no elements that is always there: what stands before everything.

    Args:
        runs: the runs in document order.
    """

    __slots__ = ("_root", "first")

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.first = Run(START, 1, 1, None, SETTLED_CLOCK, hangs_right=True, left_origin=START, right_origin=END)
        self.rebuild(runs)

    def __len__(self) -> int:
        return self._root.visible

    def __iter__(self) -> Iterator[Run]:
        run = self.first.next
        while run is not None:
            yield run
            run = run.next

    @property
    def last(self) -> Run:
        """The run before the end of the document, or `first`."""
        item: Any = self._root
        while item.__class__ is Node:
            item = item.items[-1]
        return item  # type: ignore[no-any-return]

    def rebuild(self, runs: Iterable[Run]) -> None:
        """Replaces everything by these runs, in this order."""
        items: list[Any] = [self.first, *runs]
        for before, after in pairwise(items):
            before.next, after.previous = after, before
        items[-1].next = None
        holds_runs = True
        while holds_runs or len(items) > 1:
            items = [
                Node(items[start : start + NODE_SIZE_PACKED], holds_runs=holds_runs)
                for start in range(0, len(items), NODE_SIZE_PACKED)
            ]
            holds_runs = False
        self._root: Node = items[0]

    def find(self, index: int) -> tuple[Run, int]:
        """Returns the run with the visible element at an index, and the index of its first element.

        Args:
            index: 0 <= index < len(self).
        """
        node: Any = self._root
        start = 0
        while node.__class__ is Node:
            for item in node.items:
                after = start + item.visible
                if after > index:
                    node = item
                    break
                start = after
            else:
                raise IndexError(f"there is no visible element {index}: there are {len(self)}")
        return node, start

    def precedes(self, one: Run, other: Run) -> bool:
        """Says whether one run is somewhere before another."""
        return self._path(one) < self._path(other)

    def _path(self, run: Run) -> list[int]:
        path: list[int] = []
        item: Any = run
        while item.above is not None:
            path.append(item.above.items.index(item))
            item = item.above
        path.reverse()
        return path

    def insert(self, run: Run, after: Run) -> None:
        """Puts a run right after another."""
        following = after.next
        run.previous, run.next = after, following
        after.next = run
        if following is not None:
            following.previous = run
        leaf: Node = after.above
        run.above = leaf
        leaf.items.insert(leaf.items.index(after) + 1, run)
        if run.visible:
            self.resize(run, run.visible)
        if len(leaf.items) > NODE_SIZE_MAX:
            self._split(leaf)

    def remove(self, run: Run) -> None:
        """Takes a run out."""
        run.previous.next = run.next
        if run.next is not None:
            run.next.previous = run.previous
        if run.visible:
            self.resize(run, -run.visible)
        item: Any = run
        node: Node = run.above
        node.items.remove(item)
        while not node.items:  # the root always has `first` below it
            item, node = node, node.above  # type: ignore[assignment]
            node.items.remove(item)
        run.previous = run.next = run.above = None

    def resize(self, run: Run, change: int) -> None:
        """Counts visible elements that came to a run or went from it."""
        node: Node | None = run.above
        while node is not None:
            node.visible += change
            node = node.above

    def _split(self, node: Node) -> None:
        half = len(node.items) // 2
        sibling = Node(node.items[half:], holds_runs=node.holds_runs)
        del node.items[half:]
        node.visible -= sibling.visible
        parent = node.above
        if parent is None:
            self._root = Node([node, sibling], holds_runs=False)
            return
        sibling.above = parent
        parent.items.insert(parent.items.index(node) + 1, sibling)
        if len(parent.items) > NODE_SIZE_MAX:
            self._split(parent)
