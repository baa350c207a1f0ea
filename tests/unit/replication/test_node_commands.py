"""`calliope node` and `calliope status`, what they are told and what they show."""

import json
import re
import socket
from io import StringIO
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from calliope import Journal, UntypedEvent
from replication.commands import status as status_command
from replication.commands.application import application
from replication.commands.node import known_replica_id
from replication.commands.status import checked_url
from replication.http_api.server import serving
from replication.node import Node
from replication.node_lock import held
from tests.unit.replication.http_nodes import MemoryNetwork, api_of, node_of

TOKEN = b"unguessable-token"


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application, list(arguments))


MISUSES = {
    "an open door": (["--http", "0.0.0.0:7400"], "without a token anybody could write"),
    "an open cluster": (["--listen", "0.0.0.0:7401"], "without a secret"),
    "no port": (["--listen", "berlin"], "must be host:port"),
    "a peer without a port": (["--peer", "berlin"], "must be host:port"),
    "discovery of what does not listen": (["--discover"], "listen must be an address"),
    "an illegal id": (["--replica-id", "a~b"], "must not contain '~'"),
    "an empty secret": (["--secret-file", "empty"], "empty holds nothing; it must hold a secret"),
    "a large secret": (["--secret-file", "large"], "large holds more than 65536 bytes"),
    "a short token": (["--http-token-file", "short"], "the token must have at least 16 bytes, not 5"),
    "no such journal": (["--data", "ftp://x"], "'ftp://x' is no journal"),
    "an illegal schema": (["--data", "postgresql://h/d?schema="], "a schema's name has 1 to 48 bytes, not ''"),
    "no URL of a server": (["--data", "postgresql://h/d?colour=red"], "is not a PostgreSQL URL"),
}


@pytest.mark.parametrize(("arguments", "reason"), MISUSES.values(), ids=MISUSES)
def test_a_node_that_is_told_what_does_not_hold_is_not_started(arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("short").write_text("short\n")
    Path("large").write_text("x" * 70_000)
    result = run("node", "--data", "a.db", *arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not Path("a.db").exists()


def test_a_secret_that_cannot_be_read_is_an_error_message(tmp_path):
    result = run("node", "--data", str(tmp_path / "a.db"), "--secret-file", str(tmp_path / "nothing"))
    assert (result.exit_code, "No such file" in result.stderr) == (1, True)


@pytest.mark.parametrize("known", [(), ("--replica-id", "berlin")], ids=["asked", "told"])
def test_a_server_that_cannot_be_reached_is_an_error_message_without_the_password(known):
    url = "postgresql://clerk:secret@127.0.0.1:9/shop"
    result = run("node", "--data", url, "--http", "127.0.0.1:0", *known)
    assert result.exit_code == 1
    assert result.stderr.startswith("calliope: postgresql://clerk@127.0.0.1:9/shop cannot be connected to")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr


@pytest.mark.parametrize("option", ["--listen", "--http"])
def test_an_address_in_use_is_an_error_message(option, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("node", "--data", str(tmp_path / "a.db"), "--http", "127.0.0.1:0", option, address)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"calliope: cannot listen on {address}: ")
    assert result.stderr.count("\n") == 1


def test_a_file_that_another_node_holds_is_an_error_message(tmp_path):
    with held(tmp_path / "a.db"):
        result = run("node", "--data", str(tmp_path / "a.db"), "--http", "127.0.0.1:0")
    assert (result.exit_code, "another node runs on" in result.stderr) == (1, True)


def test_a_file_knows_whose_it_is(tmp_path):
    async def use() -> None:
        async with Node.open(tmp_path / "used.db", replica_id="berlin") as node:
            await node.journal.replicated_event_stream("room", UntypedEvent, replica_id="berlin").persist(
                UntypedEvent("Said", {})
            )

    async def make() -> None:
        async with Journal.open(tmp_path / "plain.db"):
            pass

    anyio.run(use)
    anyio.run(make)
    assert known_replica_id(tmp_path / "used.db") == "berlin"
    assert re.fullmatch(r"plain-[0-9a-f]{8}", known_replica_id(tmp_path / "plain.db"))
    assert re.fullmatch(r"new-one-[0-9a-f]{8}", known_replica_id(tmp_path / "new~one.db"))
    assert known_replica_id(None) != known_replica_id(None)


@pytest.mark.anyio
async def test_the_status_of_a_node_is_shown(tmp_path, monkeypatch):
    (tmp_path / "token").write_bytes(TOKEN + b"\n")
    async with (
        MemoryNetwork() as network,
        node_of(network, "berlin") as node,
        api_of(node) as berlin,
        serving(node, "127.0.0.1:0", TOKEN) as url,
    ):
        await berlin.do("a%2Fb %1B[2J", "Text", "insert", 0, "x" * 100)
        await berlin.do("visits", "GCounter", "increment", 5)

        async def show(*arguments: str) -> Result:
            return await anyio.to_thread.run_sync(
                run, "status", url, "--token-file", str(tmp_path / "token"), *arguments
            )

        assert (await show()).stdout.splitlines() == [
            "node berlin ok at berlin",
            "member  berlin  alive  berlin  0 behind  0.0 s ago",
            f'key  a/b \\x1b[2J  Text  "{"x" * 58}…',
            "key  visits  GCounter  5",
        ]
        assert (await show("--keys", "1")).stdout.splitlines()[-1] == "key  …"
        assert (await show("--keys", "0")).stdout.count("\n") == 2
        assert (await show("--prefix", "v")).stdout.splitlines()[2:] == ["key  visits  GCounter  5"]
        found = json.loads((await show("--json", "--prefix", "v")).stdout)
        assert (found["replica_id"], found["members"][0]["lag"], found["more_keys"]) == ("berlin", 0, False)
        assert found["keys"] == [{"key": "visits", "type": "GCounter", "value": 5}]

        screen = StringIO()
        console = Console(file=screen, force_terminal=True, width=120)
        monkeypatch.setattr(status_command, "Console", lambda: console)
        assert (await show()).stdout == ""
        words = set(re.findall(r"[\w-]+", screen.getvalue()))
        assert {"berlin", "alive", "behind", "visits", "GCounter", "5", "Text"} <= words

        refused = await anyio.to_thread.run_sync(run, "status", url)
        assert (refused.exit_code, "answered 401: Authorization must be" in refused.stderr) == (1, True)


@pytest.mark.anyio
async def test_who_is_no_node_is_said(tmp_path):
    async def speak(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, speak)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        result = await anyio.to_thread.run_sync(run, "status", f"127.0.0.1:{port}/")
        assert (result.exit_code, result.stderr) == (
            1,
            f"calliope: http://127.0.0.1:{port}/health is no node: it answered 200 and no JSON\n",
        )
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "url", ["", "http://", "http://[", "ftp://127.0.0.1:1", "127.0.0.1:99999", "localhost:abc", "/a.db", "http://a/?b"]
)
def test_what_is_no_url_is_a_misuse(url):
    result = run("status", url)
    assert result.exit_code == 2
    assert f"URL must be that of a node, such as http://127.0.0.1:7400, not {url!r}" in result.stderr


def test_a_node_is_asked_where_nodes_serve_by_default():
    assert checked_url("berlin") == "http://berlin:7400"
    assert checked_url("[::1]") == "http://[::1]:7400"
    assert checked_url("berlin:80") == "http://berlin:80"
    assert checked_url("https://berlin/nodes/1/") == "https://berlin/nodes/1"


def test_a_token_that_is_no_text_is_a_misuse(tmp_path):
    (tmp_path / "token").write_bytes(b"\xff" * 20)
    result = run("status", "--token-file", str(tmp_path / "token"))
    assert (result.exit_code, "token holds no text in UTF-8" in result.stderr) == (2, True)


def test_nobody_there_is_an_error_message():
    result = run("status", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr.startswith("calliope: http://127.0.0.1:1 cannot be asked: ")
