"""`calliope status`: the members, lag and keys of a running node, asked over its HTTP API."""

from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import anyio
import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from calliope.errors import CalliopeError
from replication.addresses import parsed
from replication.commands.journals import checked_arguments
from replication.commands.node import HTTP_ADDRESS, contents
from replication.printable import printable

ANSWER_SECONDS = 15.0
"""How long the node may take for all of its answers."""

VALUE_CHARACTERS_MAX = 60
"""How much of a value is shown."""

KEYS_MAX = 1_000


@click.command("status")
@click.argument("url", default=f"http://{HTTP_ADDRESS}", metavar="[URL]")
@click.option("--token-file", metavar="FILE", help="Holds what clients of the node's HTTP API must know.")
@click.option(
    "--keys",
    "key_count",
    type=click.IntRange(0, KEYS_MAX),
    default=20,
    show_default=True,
    metavar="N",
    help="How many keys are shown.",
)
@click.option("--prefix", default="", metavar="PREFIX", help="Only keys that begin so.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="jsonl: all of it as one line of JSON.",
)
@click.option("--json", "form", flag_value="jsonl", hidden=True, help="What --format jsonl was once called.")
def show_status(url: str, token_file: str | None, key_count: int, prefix: str, form: str) -> None:
    """Show the members of a node's cluster, how far each lags behind, and its keys.

    URL is where the node serves its HTTP API: http://host:port, host:port or host; by default http://127.0.0.1:7400.
    Lag counts the log entries that the node holds and that a member is not known to hold.
    """
    with checked_arguments():
        checked = checked_url(url)
        headers = {} if token_file is None else {"Authorization": f"Bearer {_token_in(token_file)}"}
    status = anyio.run(_ask, checked, headers, key_count, prefix)
    if form == "jsonl":
        click.echo(msgspec.json.encode(status))
    elif (console := Console()).is_terminal:
        _print_tables(console, status)
    else:
        for line in _lines(status):
            click.echo(line)


def checked_url(text: str) -> str:
    """Return the URL of a node's HTTP API, without a slash at its end.

    Raises:
        ValueError: it is none.
    """
    url = f"http://{text}" if "://" not in text else text
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"URL must be that of a node, such as http://{HTTP_ADDRESS}, not {text!r:.100}")
    if port is None and "://" not in text and not parts.path:
        url = f"{url}:{parsed(HTTP_ADDRESS)[1]}"
    return url.rstrip("/")


def _token_in(file: str) -> str:
    try:
        return contents(file).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{file} holds no text in UTF-8; it must hold a token") from None


async def _ask(url: str, headers: dict[str, str], key_count: int, prefix: str) -> dict[str, Any]:
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with aiohttp.ClientSession(headers=headers) as session:
                return await _status(session, url, key_count, prefix)
    except TimeoutError:
        raise CalliopeError(f"{url} did not answer within {ANSWER_SECONDS:g} seconds") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise CalliopeError(f"{url} cannot be asked: {str(error) or type(error).__name__}") from None


async def _status(session: aiohttp.ClientSession, url: str, key_count: int, prefix: str) -> dict[str, Any]:
    health = await _answer(session, f"{url}/health")
    members = await _answer(session, f"{url}/members")
    page: dict[str, Any] = {"keys": [], "next": None}
    if key_count:
        page = await _answer(session, f"{url}/keys", prefix=prefix, limit=str(key_count))
    keys = []
    for key in page["keys"]:
        with suppress(_NotThereError):  # it was deleted meanwhile
            keys.append(await _answer(session, f"{url}/keys/{quote(key, safe='')}"))
    return {**health, "members": members["members"], "keys": keys, "more_keys": page["next"] is not None}


class _NotThereError(CalliopeError):
    """What was asked for is not there."""


async def _answer(session: aiohttp.ClientSession, url: str, **parameters: str) -> dict[str, Any]:
    async with session.get(url, params=parameters) as response:
        try:
            answer = msgspec.json.decode(await response.read(), type=dict[str, Any])
        except msgspec.DecodeError:
            raise CalliopeError(f"{url} is no node: it answered {response.status} and no JSON") from None
        if response.status != 200:
            reason = f"{url} answered {response.status}: {answer.get('error')}"
            raise _NotThereError(reason) if response.status == 404 else CalliopeError(reason)
        return answer


def _lines(status: dict[str, Any]) -> list[str]:
    lines = [f"node {printable(status['replica_id'])} {status['status']} at {status['address'] or '-'}"]
    lines += ["  ".join(("member", *_member_cells(member))) for member in status["members"]]
    lines += ["  ".join(("key", *_key_cells(key))) for key in status["keys"]]
    if status["more_keys"]:
        lines.append("key  …")
    return lines


def _print_tables(console: Console, status: dict[str, Any]) -> None:
    members = Table("replica", "state", "address", "lag", "heard", title=f"node {printable(status['replica_id'])}")
    for member in status["members"]:
        members.add_row(*map(Text, _member_cells(member)))
    console.print(members)
    if status["keys"]:
        keys = Table("key", "type", "value", caption="there are more" if status["more_keys"] else None)
        for key in status["keys"]:
            keys.add_row(*map(Text, _key_cells(key)))
        console.print(keys)


def _member_cells(member: dict[str, Any]) -> tuple[str, ...]:
    state = member["state"] if member["connected"] or member["lag"] == 0 else f"{member['state']}, not connected"
    return (
        printable(member["replica_id"]),
        state,
        printable(member["address"]) or "-",
        f"{member['lag']:,} behind",
        f"{member['age_seconds']:.1f} s ago",
    )


def _key_cells(key: dict[str, Any]) -> tuple[str, ...]:
    value = msgspec.json.encode(key["value"]).decode()
    shown = value if len(value) <= VALUE_CHARACTERS_MAX else f"{value[: VALUE_CHARACTERS_MAX - 1]}…"
    return printable(key["key"]), key["type"], printable(shown)
