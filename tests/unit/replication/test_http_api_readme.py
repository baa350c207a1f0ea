"""The README's `curl` commands do what it says."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.unit.replication.http_nodes import two_apis

pytestmark = pytest.mark.anyio

README = (Path(__file__).parents[3] / "README.md").read_text()
SECTION = README[README.index("### A node as a service") : README.index("## The domain")]
COMMANDS = re.findall(r"^\$ (curl .*)\n(\{.*\}\n)?", SECTION, re.MULTILINE)
VERSION = re.compile(r"\d+@[a-z]+~[0-9a-f]+")


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def test_every_curl_of_the_readme_is_answered_as_it_shows():
    assert len(COMMANDS) == 5
    version = ""
    async with two_apis() as (berlin, lisbon):
        for command, shown in COMMANDS:
            words = shlex.split(VERSION.sub(version, command))
            [url] = [word for word in words if word.startswith("localhost:")]
            place, _, path = url.partition("/")
            api = {"localhost:7400": berlin, "localhost:7500": lisbon}[place]
            body = words[words.index("-d") + 1] if "-d" in words else None
            headers = {"Accept": "text/event-stream"} if "-H" in words else {}
            async with api.client.request(
                "POST" if body else "GET", f"/{path}", data=body, headers=headers
            ) as response:
                assert response.status == 200
                assert ("-N" in words) == (response.content_type in ("application/x-ndjson", "text/event-stream"))
                if shown:
                    answer = await response.json()
                    version = answer.get("version", version)
                    assert answer == json.loads(VERSION.sub(version, shown))
