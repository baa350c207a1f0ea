"""A customer of the shop: sends commands and asks views over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import ClientSession

NOUNS = {"sales": "reservation", "invoicing": "invoice", "shipping": "shipment", "headquarters": "order"}
"""What each part of the shop calls an order."""


@dataclass(frozen=True)
class Answer:
    """What the shop answered."""

    status: int
    content: Any


class ShopClient:
    """Knows where the parts are.

    Args:
        session: sends the requests.
        addresses: of the parts, by their names.
    """

    def __init__(self, session: ClientSession, addresses: Mapping[str, str]) -> None:
        self.session = session
        self.addresses = addresses

    async def send(
        self,
        part: str,
        order: str,
        command_type: str,
        command_id: str = "",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Answer:
        """Send a command about an order, a UUID; without a command id, with a new one."""
        headers = {"Command-Type": command_type, "Command-Id": command_id or str(uuid4()), **(headers or {})}
        return await self.post(f"{self.address(part, order)}", headers, msgspec.json.encode(fields))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send any request with a body."""
        async with self.session.post(url, headers=headers, data=body) as response:
            return Answer(response.status, await response.json())

    async def ask(self, part: str, order: str, position: int = 0) -> Answer:
        """Ask a part what it knows of an order."""
        return await self.get(f"{self.address(part, order)}?position={position}")

    async def get(self, url: str) -> Answer:
        """Get any document."""
        async with self.session.get(url) as response:
            return Answer(response.status, await response.json())

    def address(self, part: str, order: str) -> str:
        """Return where a part is asked about an order."""
        noun = NOUNS[part]
        return f"{self.addresses[part]}/{noun}s/{noun}-{order}"

    async def confirmed(self, *lines: tuple[str, str, int], customer: str = "Ada") -> str:
        """Have an order confirmed, of products with prices and quantities; return its UUID."""
        order = str(uuid4())
        answers = [await self.send("sales", order, "create-reservation", customer=customer)]
        for product, price, quantity in lines or [("lamp", "19.90", 3)]:
            fields = {"product": product, "price": price, "quantity": quantity}
            answers.append(await self.send("sales", order, "reserve-product", **fields))
        answers.append(await self.send("sales", order, "confirm-reservation"))
        assert [answer.status for answer in answers] == [200] * len(answers), answers
        return order
