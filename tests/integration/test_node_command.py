"""`calliope node` and `calliope status`, as processes: driven over HTTP, ended, killed and started again."""

import json
import os
import re
import select
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import trustme

from replication.transports.websocket import PATH

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "replication.cli"]
PATIENCE_SECONDS = 90
"""Ends a test that hangs; nothing depends on it."""

READY = re.compile(r"(\S+) listens (?:at (\S+)|nowhere), HTTP at (http://\S+)\n")


class Service:
    """A `calliope node` that runs.

    Attributes:
        process: the process.
        replica_id: who it says that it is.
        address: where others connect.
        url: where its HTTP API is.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
        line = process.stdout.readline() if ready else "it did not say that it is ready\n"
        found = READY.fullmatch(line)
        if found is None:
            process.kill()
            raise AssertionError(f"{line}{process.communicate()[1]}")
        self.replica_id, self.address, self.url = found.groups()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what was logged."""
        self.process.send_signal(number)
        logged = self.process.communicate(timeout=PATIENCE_SECONDS)[1]
        return self.process.returncode, logged


class Machine:
    """Starts processes in a folder, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder)}
        self.environment = {**environment, "PYTHONWARNINGS": "error", "COLUMNS": "120"}
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.begin(*arguments)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, output, errors

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return what starts processes in a folder of this test."""
    started = Machine(tmp_path)
    yield started
    started.end()


@pytest.mark.anyio
async def test_two_nodes_are_driven_over_http_ended_killed_and_started_again(machine: Machine) -> None:
    (machine.folder / "secret").write_text("of the cluster\n")
    write_certificate(machine.folder)
    tls = ["--tls-certificate", "certificate.pem", "--tls-key", "key.pem", "--tls-ca", "ca.pem"]
    common = ["--secret-file", "secret", *tls, "--cluster", "shop", "--http", "127.0.0.1:0"]
    started = machine.begin("node", "--data", "b.db", "--replica-id", "berlin", "--listen", "127.0.0.1:0", *common)
    berlin = Service(started)
    to_berlin = ["node", "--data", "lisbon.db", "--listen", "127.0.0.1:0", *common, "--peer"]
    lisbon = Service(machine.begin(*to_berlin, berlin.address))
    assert (berlin.replica_id, lisbon.replica_id[:7]) == ("berlin", "lisbon-")

    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        knows_the_authority = ssl.create_default_context(cafile=machine.folder / "ca.pem")
        for scheme in ("http", "https"):
            with pytest.raises((aiohttp.ClientError, ConnectionError)):  # who shows no certificate is not spoken with
                await session.ws_connect(f"{scheme}://{berlin.address}{PATH}", ssl=knows_the_authority)
        increment = {"type": "GCounter", "method": "increment", "arguments": [5], "replicas": 2, "timeout": 60}
        await asked(session.post(f"{berlin.url}/keys/visits", json=increment))
        milk = {"type": "ORSet", "method": "add", "arguments": ["milk"], "replicas": "all", "timeout": 60}
        done = await asked(session.post(f"{lisbon.url}/keys/cart", json=milk))
        await asked(session.get(f"{berlin.url}/keys/cart?timeout=60&version={done['version']}"))
        async with session.get(f"{lisbon.url}/feed") as feed:
            said = {"type": "Said", "data": {"text": "hello"}, "event_id": "said-1"}
            first = await asked(session.post(f"{berlin.url}/streams/room/events", json=said))
            arrived = await first_event(feed)
            assert (arrived["id"], arrived["data"], arrived["replica_id"]) == ("said-1", {"text": "hello"}, "berlin")

            code, logged = await anyio.to_thread.run_sync(lisbon.end, signal.SIGTERM)
            assert (code, "Traceback" in logged) == (0, False), logged
            assert (await feed.content.read()).strip() == b"", "a feed ends with its node"
        await asked(session.post(f"{berlin.url}/keys/visits", json={**increment, "replicas": 1}))

        berlin.end(signal.SIGKILL)
        berlin = Service(machine.begin("node", "--data", "b.db", "--listen", "127.0.0.1:0", *common))
        assert berlin.replica_id == "berlin", "a file knows whose it is"
        lisbon = Service(machine.begin(*to_berlin, berlin.address))
        for service in (berlin, lisbon):
            assert (await asked(session.get(f"{service.url}/keys/visits?replicas=2&timeout=60")))["value"] == 10
            assert (await asked(session.get(f"{service.url}/keys/cart")))["value"] == ["milk"]
            [event] = (await asked(session.get(f"{service.url}/events")))["events"]
            assert (event["id"], event["data"]) == ("said-1", {"text": "hello"})
        repeated = await asked(session.post(f"{berlin.url}/streams/room/events", json=said))
        assert repeated["sequence_number"] == first["sequence_number"], "asked again, done once"

    code, output, errors = machine.run("status", berlin.url, "--keys", "1")
    assert code == 0, errors
    lines = output.splitlines()
    assert lines[0] == f"node berlin ok at {berlin.address}"
    assert [line.split("  ")[:2] for line in lines[1:]] == [
        ["member", "berlin"],
        ["member", lisbon.replica_id],
        ["key", "cart"],
        ["key", "…"],
    ]
    assert lines[3] == 'key  cart  ORSet  ["milk"]'
    assert berlin.end(signal.SIGINT)[0] == 130


def write_certificate(folder: Path) -> None:
    """Write a certificate for the loopback interface, its key, and who signed it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")


async def asked(request: Any) -> Any:
    """Return what a request was answered."""
    async with request as response:
        content = await response.json()
        assert response.status == 200, content
        return content


async def first_event(feed: aiohttp.ClientResponse) -> Any:
    while not (line := (await feed.content.readline())).strip():
        assert line, "the feed has ended"
    return json.loads(line)
