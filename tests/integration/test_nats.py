"""The NATS store against servers and connections that fail, refuse, or hold something else."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import nats
import pytest
import trustme

from calliope import (
    CorruptJournalError,
    CorruptRecordError,
    ExpectedVersionError,
    Journal,
    JournalFormatError,
    StorageError,
    StorageFullError,
    UntypedEvent,
)
from calliope.stores import nats_connection
from calliope.stores.nats import NatsStore
from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_message import FORM, Body, encoded_message, position_of
from calliope.stores.nats_snapshots import PART_BYTES
from calliope.stores.nats_streams import subjects_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.record import Selection, StoredRecord
from calliope.testing.everything import everything
from calliope.testing.requests import append_of
from calliope.testing.snapshot_contract import snapshot_of
from tests.integration.cables import cable_to
from tests.nats import OwnServer, give_up_after, new_journal, own_server, url_of_journal

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 120.0
"""How long anything may take before it counts as stuck."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def url(running: OwnServer) -> str:
    return url_of_journal(running.url, new_journal(), timeout=PATIENCE_SECONDS)


async def asked(url: str, subject: str, payload: object) -> dict[str, object]:
    """Ask the server something beside the store; bytes are published as they are."""
    client = await nats.connect(url.rsplit("/", 1)[0], connect_timeout=round(PATIENCE_SECONDS))
    try:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return json.loads((await client.request(subject, data, timeout=PATIENCE_SECONDS)).data)
    finally:
        await client.close()


def name_in(url: str) -> str:
    return url.rsplit("/", 1)[1].partition("?")[0]


def check_once_and_in_order(log: list[StoredRecord], replies: list[list[StoredRecord]]) -> None:
    """Check that everything acknowledged is there once, that nothing else is, and that numbers have no gaps."""
    assert sorted((record for reply in replies for record in reply), key=lambda record: record.position) == log
    positions = [record.position for record in log]
    assert positions == sorted(set(positions))
    for stream_id in {record.stream_id for record in log}:
        numbers = [record.sequence_number for record in log if record.stream_id == stream_id]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_connections_that_are_cut_and_answers_that_are_lost_at_any_moment_lose_and_double_nothing(
    running: OwnServer,
) -> None:
    random, replies, seen = Random(5), list[list[StoredRecord]](), list[StoredRecord]()
    name = new_journal()
    async with asyncio.timeout(PATIENCE_SECONDS), cable_to(running.address) as cable:
        store = await NatsStore.open(url_of_journal(f"nats://{cable.address}", name, timeout=PATIENCE_SECONDS))
        other = await NatsStore.open(url_of_journal(running.url, name, timeout=PATIENCE_SECONDS))

        async def disturb() -> None:
            while True:
                await asyncio.sleep(random.uniform(0.02, 0.1))
                cable.deafen()
                await asyncio.sleep(random.uniform(0, 0.01))
                cable.cut()
                cable.mend()

        async def write(writer: int) -> None:
            for n in range(25):
                event_id = f"{writer}-{n}" if n % 2 else None
                payloads = [b"\xa5%02d-%02d" % (writer, n)] * (1 + n % 3)
                request = append_of(f"s-{writer % 3}", *payloads, event_id=event_id)
                replies.append(await (other if writer % 4 == 3 else store).append(request))

        async def follow() -> None:
            after = 0
            while True:
                with suppress(StorageError):
                    page = await store.read_all(Selection(), after=after, limit=100)
                    seen.extend(page.records)
                    after = page.through
                await asyncio.sleep(0.01)

        disturbing = [asyncio.create_task(disturb()), asyncio.create_task(follow())]
        async with asyncio.TaskGroup() as writing:
            for writer in range(8):
                writing.create_task(write(writer))
        for task in disturbing:
            task.cancel()
        await asyncio.gather(*disturbing, return_exceptions=True)
        log = await everything(other)
        check_once_and_in_order(log, replies)
        assert seen == log[: len(seen)]
        await store.aclose()
        await other.aclose()


async def test_live_readers_miss_and_double_nothing_when_their_connection_is_lost(running: OwnServer) -> None:
    name, seen = new_journal(), list[int]()
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        cable_to(running.address) as cable,
        Journal.open(url_of_journal(f"nats://{cable.address}", name, timeout=PATIENCE_SECONDS)) as reading,
        Journal.open(url_of_journal(running.url, name, timeout=PATIENCE_SECONDS)) as writing,
    ):
        live = reading.event_stream("a", UntypedEvent).live_query().take(40).map(lambda event: event.data)
        async with asyncio.TaskGroup() as group:
            group.create_task(live.run_for_each(seen.append))
            for n in range(40):
                if n % 9 == 4:
                    cable.cut()
                    cable.mend()
                await writing.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", n))
    assert seen == list(range(40))


async def test_a_server_killed_and_restarted_costs_a_wait_and_nothing_else() -> None:
    with own_server() as server:
        async with Journal.open(url_of_journal(server.url, "orders", timeout=PATIENCE_SECONDS)) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Happened", 1))
            server.kill()
            async with asyncio.TaskGroup() as group:
                group.create_task(stream.persist(UntypedEvent("Happened", 2)))
                await asyncio.to_thread(server.start)
            assert [event.data for event in await stream.query().run_collect()] == [1, 2]


async def test_a_server_that_stays_away_is_an_error_within_the_stated_time_and_no_loss() -> None:
    with own_server() as server:
        async with asyncio.timeout(PATIENCE_SECONDS), Journal.open(url_of_journal(server.url, "orders")) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Happened", 1))
            server.kill()
            give_up_after(journal, 0.3)
            with pytest.raises(StorageError, match=r"the same event id may be sent again|nothing was written"):
                await stream.persist(UntypedEvent("Happened", 2), event_id="2")
            with pytest.raises(StorageError, match=r"cannot be connected to.* nothing was written"):
                await stream.persist(UntypedEvent("Happened", 3))
            with pytest.raises(StorageError, match="cannot be connected to"):
                await stream.query().run_collect()
            with pytest.raises(StorageError, match="cannot be connected to"):
                await NatsStore.open(url_of_journal(server.url, "orders", timeout=0.3))
            await asyncio.to_thread(server.start)
            give_up_after(journal, PATIENCE_SECONDS)
            await stream.persist(UntypedEvent("Happened", 2), event_id="2")
            await stream.persist(UntypedEvent("Happened", 4))
            assert [event.data for event in await stream.query().run_collect()] == [1, 2, 4]


async def test_what_cannot_be_a_journal_is_refused_by_name(running: OwnServer, url: str) -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9/x cannot be connected to; nothing was written"):
        await NatsStore.open("nats://127.0.0.1:9/x")
    with pytest.raises(StorageError, match="replicas > 1 not supported in non-clustered mode"):
        await NatsStore.open(f"{url}&replicas=3")
    for given, expected in (
        ("nats://h/x?replicas=0", "replicas must be 1 to 5, not '0'"),
        ("nats://h/x?timeout=never", "timeout must be seconds, .* not 'never'"),
        ("nats://h", "journal's name in 'nats://h' must be 1 to 64 letters"),
        ("nats://h/a.b", "must be 1 to 64 letters"),
        ("nats://h,,i/x", "must name its servers"),
        ("nats://h:99999/x", "must name its servers"),
        ("nats://h/x?colour=red", "'colour' is no parameter"),
        ("nats://anna:secret@h/x?tls=maybe", "tls must be"),
    ):
        with pytest.raises(ValueError, match=expected) as refused:
            Journal.open(given)
        assert "secret" not in str(refused.value)


async def test_who_may_not_in_is_told_so_without_the_password() -> None:
    with own_server(users={"anna": "right"}) as server:
        async with Journal.open(url_of_journal(server.url, "orders")) as journal:
            await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 1))
        for who in ("anna:wrong-secret@", "wrong-secret@", ""):
            with pytest.raises(StorageError, match="Authorization Violation") as refused:
                await NatsStore.open(f"nats://{who}{server.address}/orders")
            assert "secret" not in str(refused.value)
    with own_server(more="authorization {token: open-sesame}") as server:
        async with Journal.open(f"nats://open-sesame@{server.address}/orders") as journal:
            await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 1))


async def test_a_connection_may_be_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, other = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server"))
    authority.cert_pem.write_to_path(str(tmp_path / "authority"))
    other.cert_pem.write_to_path(str(tmp_path / "other"))
    tls = f'tls {{cert_file: "{tmp_path / "server"}", key_file: "{tmp_path / "server"}"}}'
    with own_server(more=tls) as server:
        url = url_of_journal(server.url, "orders", tls="yes")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority"))
        async with Journal.open(url) as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Happened", 1))
            assert [event.data for event in await stream.query().run_collect()] == [1]
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other"))
        with pytest.raises(StorageError, match="certificate verify failed"):
            await NatsStore.open(url)


async def test_a_server_that_cannot_hold_a_journal_is_refused() -> None:
    with (
        own_server(jetstream=None) as server,
        pytest.raises(JournalFormatError, match="has no JetStream, it cannot hold a journal"),
    ):
        await NatsStore.open(url_of_journal(server.url, "orders"))
    with (
        own_server(more="max_payload: 64KB") as server,
        pytest.raises(JournalFormatError, match=r"takes messages of 65536 bytes .*; Calliope needs 1048576"),
    ):
        await NatsStore.open(url_of_journal(server.url, "orders"))


async def test_a_server_that_is_too_old_is_refused() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"X","version":"2.11.9","proto":1,"headers":true,"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    old = await asyncio.start_server(greet, "127.0.0.1", 0)
    address = f"127.0.0.1:{old.sockets[0].getsockname()[1]}"
    with pytest.raises(JournalFormatError, match=r"is a NATS server 2\.11; Calliope needs 2\.12 or newer"):
        await NatsStore.open(f"nats://{address}/orders")
    old.close()
    await old.wait_closed()


async def test_a_server_that_accepts_and_never_greets_is_an_error_within_the_stated_time() -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(
            StorageError, match=f"{address}/orders.* cannot be connected to; nothing was written: no server greet"
        ):
            await NatsStore.open(f"nats://{address}/orders?timeout=0.2")
    server.close()
    await server.wait_closed()


async def test_a_question_that_nobody_answers_while_there_is_no_leader_is_asked_again_before_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who leads nothing says nothing; whoever is elected next may not lead for long."""
    monkeypatch.setattr(nats_connection, "SILENCE_SECONDS", 0.01)
    monkeypatch.setattr(nats_connection, "ATTEMPT_SECONDS", PATIENCE_SECONDS)
    heard: list[str] = []

    async def lead_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"X","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576}\r\n')
        while line := (await reader.readline()).decode():
            if line == "PING\r\n":
                writer.write(b"PONG\r\n")
            if line.startswith("PUB "):
                _, _, reply, size = line.split()
                await reader.readexactly(int(size) + 2)
                heard.append(reply)
                if len(heard) == 3:
                    writer.write(f"MSG {heard[0]} 1 4\r\nlead\r\n".encode())
        writer.close()

    server = await asyncio.start_server(lead_late, "127.0.0.1", 0)
    address = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}/orders"
    connection = nats_connection.NatsConnection(NatsAddress.parse(address))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await connection.ask(("$JS.API.STREAM.MSG.GET.orders", b"{}", None))
        assert answer.data == b"lead"
    finally:
        await connection.close()
        server.close()
        await server.wait_closed()


async def test_a_stream_that_is_somebody_elses_or_a_newer_journal_is_left_as_it_is(url: str) -> None:
    name = name_in(url)
    foreign = {"name": name, "subjects": [f"elsewhere.{name}"], "storage": "file"}
    await asked(url, f"$JS.API.STREAM.CREATE.{name}", foreign)
    with pytest.raises(JournalFormatError, match=f"the stream '{name}' is no part of a journal; it was left as it is"):
        await NatsStore.open(url)
    await asked(url, f"$JS.API.STREAM.DELETE.{name}", {})
    async with Journal.open(url):
        pass
    info = await asked(url, f"$JS.API.STREAM.INFO.{name}", {})
    config = info["config"]
    assert isinstance(config, dict)
    config["metadata"]["calliope.format"] = "99"
    await asked(url, f"$JS.API.STREAM.UPDATE.{name}", config)
    with pytest.raises(JournalFormatError, match="a journal of format 99; this version of Calliope reads up to 1"):
        await NatsStore.open(url)


async def test_a_full_disk_is_an_error_that_says_so_and_costs_nothing_that_was_written() -> None:
    with own_server(jetstream="max_file_store: 3MB") as server:
        async with Journal.open(url_of_journal(server.url, "orders")) as journal:
            stream, written = journal.event_stream("a", UntypedEvent), list[str]()

            async def fill() -> None:
                for n in range(20):
                    await stream.persist(UntypedEvent("Happened", f"{n:0500000}"))
                    written.append(f"{n:0500000}")

            with pytest.raises(StorageFullError, match="no room left to write, nothing was written"):
                await fill()
            assert len(written) > 2
            assert [event.data for event in await stream.query().run_collect()] == written


async def test_a_user_needs_no_more_than_the_documented_rights() -> None:
    publish = '["calliope.orders.>", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.*",'
    publish += ' "$JS.API.STREAM.PURGE.orders_notes"]'
    clerk = f'{{user: clerk, password: c, permissions: {{publish: {publish}, subscribe: ["_INBOX.>", "calliope.>"]}}}}'
    reader = '{user: reader, password: r, permissions: {publish: ["$JS.API.>"]}}'
    with own_server(more=f"authorization {{users: [{{user: owner, password: o}}, {clerk}, {reader}]}}") as server:
        async with Journal.open(f"nats://owner:o@{server.address}/orders") as journal:
            await journal.event_stream("a", UntypedEvent).persist(UntypedEvent("Happened", 1))
        async with Journal.open(f"nats://clerk:c@{server.address}/orders") as journal:
            stream = journal.event_stream("a", UntypedEvent)
            await stream.persist(UntypedEvent("Other", 2), tags=["red"], event_id="id")
            await journal.snapshots.save_snapshot("a", {"sum": 3}, sequence_number=2)
            await journal.snapshots.delete_snapshots("a", keep=0)
            assert [event.data for event in await stream.query().run_collect()] == [1, 2]
        async with Journal.open(f"nats://reader:r@{server.address}/orders") as journal:
            stream = journal.event_stream("a", UntypedEvent)
            assert [event.data for event in await stream.query().run_collect()] == [1, 2]
            with pytest.raises(JournalFormatError, match="permissions violation"):
                await stream.persist(UntypedEvent("Happened", 3))


async def test_damage_is_reported_and_not_served(url: str) -> None:
    subjects = NatsSubjects(name_in(url))
    async with Journal.open(url) as journal:
        streams = {name: journal.event_stream(name, UntypedEvent) for name in ("bits", "gap", "elsewhere", "form")}
        for stream in streams.values():
            await stream.persist([UntypedEvent("Happened", 1), UntypedEvent("Happened", 2)])
        row = (1, 0, 0, b"", b"\x01", False)
        whole = encoded_message(Body(FORM, "bits", bytes(12), 3, [("Happened", 1)], [row]))
        damaged = bytes([*whole[:-1], whole[-1] ^ 1])
        gap = encoded_message(Body(FORM, "gap", bytes(12), 5, [("Happened", 1)], [row]))
        newer = encoded_message(Body(FORM + 1, "form", bytes(12), 3, [("Happened", 1)], [row]))
        for stream_id, message, reported in (
            ("bits", damaged, "does not match its checksum"),
            ("gap", gap, "number 3 is missing before 5"),
            ("elsewhere", whole, "is of stream 'bits', not 'elsewhere'"),
            ("form", newer, "is a message of form 2, which is not known"),
        ):
            acknowledged = await asked(url, subjects.streams.of(stream_id), message)
            seen: list[object] = []
            with pytest.raises(CorruptRecordError, match=reported) as raised:
                await streams[stream_id].query().map(lambda event: event.data).run_for_each(seen.append)
            assert seen == [1, 2]
            assert raised.value.position in (None, position_of(acknowledged["seq"]))
        with pytest.raises(CorruptRecordError, match="does not match its checksum"):
            await journal.records(event_type=UntypedEvent).run_drain()
        await streams["gap"].persist(UntypedEvent("Happened", 6))
    async with Journal.open(url) as journal:
        with pytest.raises(CorruptRecordError, match="does not match its checksum"):
            await journal.event_stream("bits", UntypedEvent).persist(UntypedEvent("Happened", 3))


async def test_a_writer_killed_between_the_note_and_the_event_leaves_an_id_that_can_be_written(url: str) -> None:
    one, other = [await NatsStore.open(url) for _ in range(2)]
    claim = one._writer.claims.claim
    assert await one._crossing.run(lambda: claim("a", "id", 0)) is None  # and it is killed
    (first,) = await other.append(append_of("a", b"\x01"))
    assert await one._crossing.run(lambda: claim("b", "id", 0)) is None
    (second,) = await other.append(append_of("a", b"\x02", event_id="id"))
    (alone,) = await other.append(append_of("b", b"\x03", event_id="id"))
    assert await one.append(append_of("a", b"\x04", event_id="id")) == [second]
    assert await one.append(append_of("b", b"\x05", event_id="id", expected_version=7)) == [alone]
    assert [record.position for record in await everything(one)] == [
        record.position for record in (first, second, alone)
    ]
    await one.aclose()
    await other.aclose()


async def test_a_note_on_a_message_that_was_lost_keeps_nobody_from_writing(url: str) -> None:
    """Events that are restored from a backup may be older than the notes on them."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        store = await NatsStore.open(url)
        await store.append(append_of("a"))
        assert await store._crossing.run(lambda: store._writer.claims.claim("a", "id", 999)) is None
        (written,) = await store.append(append_of("a", b"\x02", event_id="id"))
        assert await store.append(append_of("a", b"\x03", event_id="id")) == [written]
        await store.aclose()


async def test_a_damaged_note_is_an_error_for_its_request_alone(url: str) -> None:
    store = await NatsStore.open(url)
    await asked(url, NatsSubjects(name_in(url)).of_event_id("a", "damaged"), b"\xc1")
    requests = [append_of("a", event_id=event_id) for event_id in ("damaged", "whole", None)]
    outcomes = await asyncio.gather(*map(store.append, requests), return_exceptions=True)
    assert isinstance(outcomes[0], CorruptJournalError)
    assert all(isinstance(outcome, list) for outcome in outcomes[1:])
    assert len(await everything(store)) == 2
    await store.aclose()


async def test_a_large_snapshot_that_is_replaced_or_deleted_leaves_nothing_behind(url: str) -> None:
    notes = f"{name_in(url)}_notes"
    store = await NatsStore.open(url)

    async def messages() -> object:
        state = (await asked(url, f"$JS.API.STREAM.INFO.{notes}", {}))["state"]
        assert isinstance(state, dict)
        return state["messages"]

    for filling in (b"1", b"2", b"3"):
        snapshot = snapshot_of("a", 7, filling * 3_000_000)
        await store.save_snapshot(snapshot)
        assert await store.load_snapshot("a", through=9) == snapshot
        assert await messages() == 1 + -(-3_000_000 // PART_BYTES)
    await store.delete_snapshots("a", keep=0)
    assert await messages() == 0
    await store.aclose()


async def test_a_damaged_snapshot_has_no_state(url: str) -> None:
    subjects = NatsSubjects(name_in(url))
    store = await NatsStore.open(url)
    await store.save_snapshot(snapshot_of("a", 1, bytes(3 * PART_BYTES)))
    await store.save_snapshot(snapshot_of("b", 1))
    await asked(url, subjects.of_snapshot("b", 1), b"\xc1")
    parts = await store._crossing.run(
        lambda: subjects_of(store._connection, f"{name_in(url)}_notes", subjects.of_snapshot("a", 1, "c.>"))
    )
    await asked(url, parts[1], bytes(PART_BYTES - 1) + b"\x01")
    for snapshot_id in ("a", "b"):
        found = await store.load_snapshot(snapshot_id, through=9)
        assert found is not None
        assert (found.sequence_number, found.payload) == (1, None)
    await store.aclose()


async def test_requests_of_many_callers_for_one_stream_share_messages(url: str) -> None:
    async with Journal.open(url) as journal:
        stream = journal.event_stream("a", UntypedEvent)
        async with asyncio.TaskGroup() as group:
            for n in range(500):
                group.create_task(stream.persist(UntypedEvent("Happened", n)))
        assert [record.sequence_number for record in await stream.records().run_collect()] == list(range(1, 501))
        info = await asked(url, f"$JS.API.STREAM.INFO.{name_in(url)}", {})
        state = info["state"]
        assert isinstance(state, dict)
        assert state["messages"] <= 3


async def test_a_number_in_a_long_stream_is_found_by_a_few_questions(url: str) -> None:
    store = await NatsStore.open(url)
    random = Random(3)
    for n in range(600):  # bursts, so that numbers and messages are not in proportion
        await store.append(append_of("a" if n % 200 < 20 else "b", *[b"\x01"] * random.choice([1, 1, 30])))
    log = await everything(store, Selection(stream_id="a"))
    for after in random.sample(range(len(log)), 60):
        store._reader._places.clear()
        page = await store.read_stream("a", after=after, limit=3)
        assert page.records == log[after : after + len(page.records)] != []
    with pytest.raises(ExpectedVersionError):
        await store.append(append_of("a", expected_version=len(log) - 1))
    await store.aclose()
