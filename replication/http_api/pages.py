"""Pages: a bounded part of what there is."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from calliope import Source
from replication.http_api.answers import encoded

PAGE_BYTES_MAX = 8 * 1024 * 1024
"""About how large a page is, however many elements were asked for; one element more than that may be in it."""

T = TypeVar("T")


async def page(
    name: str, source: Source[T], limit: int, shown: Callable[[T], object], place_of: Callable[[T], object]
) -> dict[str, Any]:
    """Return elements, and as "next" the place to go on after; None: that was all.

    Args:
        name: what the elements are.
        source: yields them.
        limit: how many at most.
        shown: returns an element as plain data.
        place_of: returns the place of an element.
    """
    found: list[msgspec.Raw] = []
    byte_count = 0
    async with aclosing(aiter(source.take(limit))) as elements:
        async for element in elements:
            found.append(msgspec.Raw(encoded(shown(element))))
            byte_count += len(found[-1])
            if len(found) == limit or byte_count >= PAGE_BYTES_MAX:
                return {name: found, "next": place_of(element)}
    return {name: found, "next": None}
