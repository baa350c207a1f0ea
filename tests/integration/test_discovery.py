"""Replicas find one another by multicast on the loopback interface."""

import subprocess
import sys
from typing import ClassVar

import anyio
import pytest
from zeroconf import Zeroconf
from zeroconf.asyncio import AsyncServiceInfo

from replication import discovery
from replication.discovery import Discovery

pytestmark = pytest.mark.anyio

ELSEWHERE = """
import sys, anyio
from replication.discovery import Discovery

async def main(cluster, replica_id, address):
    discovery = Discovery(cluster, replica_id, address, lambda found: print(found, flush=True), lambda lost: None)
    async with anyio.create_task_group() as group:
        await group.start(discovery.run)
        await anyio.to_thread.run_sync(sys.stdin.read)
        group.cancel_scope.cancel()

anyio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Heard:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.lost: list[str] = []
        self.changed = anyio.Event()

    def add(self, address: str) -> None:
        self.found.append(address)
        self.changed.set()

    def remove(self, address: str) -> None:
        self.lost.append(address)
        self.changed.set()

    async def until(self, condition) -> None:
        with anyio.fail_after(15):
            while not condition():
                self.changed = anyio.Event()
                await self.changed.wait()


async def test_a_replica_of_the_cluster_in_another_process_is_found_and_lost_and_others_are_not(free_cluster):
    heard = Heard()
    here = Discovery(free_cluster, "berlin", "127.0.0.1:7401", heard.add, heard.remove)
    async with anyio.create_task_group() as group:
        await group.start(here.run)
        stranger = elsewhere(free_cluster + "-other", "rome", "127.0.0.1:7403")
        peer = elsewhere(free_cluster, "paris", "127.0.0.1:7402")
        try:
            await heard.until(lambda: heard.found)
            with anyio.fail_after(15):
                assert await anyio.to_thread.run_sync(peer.stdout.readline) == "127.0.0.1:7401\n"
            peer.stdin.close()
            await heard.until(lambda: heard.lost)
        finally:
            for process in (stranger, peer):
                process.stdin.close()
                assert process.wait(10) == 0
                process.stdout.close()
        group.cancel_scope.cancel()
    assert heard.found == heard.lost == ["127.0.0.1:7402"]


class Hesitant(AsyncServiceInfo):
    """Somebody who is heard of, and says where he listens only when he is asked again."""

    asked: ClassVar[set[str]] = set()

    async def async_request(self, zc: Zeroconf, timeout: float, *more: object, **options: object) -> bool:
        found = await super().async_request(zc, timeout)
        is_new = self.name not in self.asked
        self.asked.add(self.name)
        return found and not is_new


async def test_who_does_not_say_where_he_listens_is_asked_again(free_cluster, monkeypatch):
    monkeypatch.setattr(discovery, "AsyncServiceInfo", Hesitant)
    heard, others = Heard(), Heard()
    async with anyio.create_task_group() as group:
        await group.start(Discovery(free_cluster, "berlin", "127.0.0.1:7401", heard.add, heard.remove).run)
        await group.start(Discovery(free_cluster, "paris", "127.0.0.1:7402", others.add, others.remove).run)
        await heard.until(lambda: heard.found)
        group.cancel_scope.cancel()
    assert heard.found == ["127.0.0.1:7402"]


def elsewhere(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ELSEWHERE, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def free_cluster(request, tmp_path) -> str:
    """Return the name of a cluster of this test's own, whatever else runs on this machine."""
    return f"test-{tmp_path.parent.name}-{tmp_path.name}"[-100:]
