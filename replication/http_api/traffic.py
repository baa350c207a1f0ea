"""How many requests were answered."""

from collections import Counter

from aiohttp import web

METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "PATCH"})
"""Others are counted together: clients may invent them."""


class Traffic:
    """Counts requests.

    Attributes:
        requests: how many were answered, by method and status.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()

    def count(self, method: str, status: int) -> None:
        """Count a request."""
        self.requests[method if method in METHODS else "other", status] += 1


TRAFFIC = web.AppKey("traffic", Traffic)
