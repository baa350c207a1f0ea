"""Replicas whose journals are on PostgreSQL: a node and other processes over one journal, and never two nodes."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from calliope import CorruptRecordError, Journal, JournalBusyError, ReplicaIdInUseError, StorageError
from calliope.stores import postgres, postgres_log_reader
from calliope.stores.postgres import PostgresStore
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_schema import FORMAT_VERSION
from calliope.testing.replica_contract import entries_of, whole_log
from crdts import GCounter, ORSet, VersionVector
from replication import Node
from replication.errors import StaleValueError
from tests.integration.replicas_on_servers import (
    PATIENCE_SECONDS,
    Written,
    check_replicas_of_two_urls_and_a_file,
    check_several_open_journals,
    names,
    same,
    written_while_killed,
)
from tests.integration.test_nodes_killed import check_nothing_lost_nothing_twice
from tests.postgres import new_schema, own_server, url_of_schema

pytestmark = pytest.mark.anyio

LEASES = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) ="
    " (SELECT hashtextextended(journal_id, 1315923045) FROM journal)"
)
"""The server processes that hold a journal for a node."""

LOG_TABLE_NAMES = "replica, replica_log, log_entry, stream_version, crdt_state, replica_fact"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres_url: str) -> str:
    return url_of_schema(postgres_url, new_schema())


@pytest.fixture
def database_names(postgres_url: str) -> Iterator[tuple[str, str]]:
    """Two names of databases, which are dropped in the end."""
    names = f"{new_schema()}_before", f"{new_schema()}_restored"
    yield names
    for name in names:
        of(postgres_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def of(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement beside the journal."""
    with PostgresAddress.parse(url).connect() as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def in_database(url: str, name: str) -> str:
    """Return the URL of another database of a server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def store_of(holder: Journal | Node) -> PostgresStore:
    store = holder.store if isinstance(holder, Journal) else holder.journal.store
    assert isinstance(store, PostgresStore)
    return store


async def test_replicas_on_two_databases_and_in_a_file_end_with_the_same(url: str, tmp_path: Path) -> None:
    await check_replicas_of_two_urls_and_a_file(url, tmp_path)


async def test_what_several_open_journals_write_is_numbered_once_and_reaches_the_other_replica(
    url: str, tmp_path: Path
) -> None:
    await check_several_open_journals(url, tmp_path)


async def test_two_processes_that_write_under_one_replica_id_are_told(url: str) -> None:
    async with Journal.open(url) as one, Journal.open(url) as two:
        streams = [each.replicated_event_stream("s", Written, replica_id="berlin") for each in (one, two)]
        await streams[0].persist(Written("first"))
        await streams[1].persist(Written("second"))
        with pytest.raises(ReplicaIdInUseError):
            await streams[0].persist(Written("third"))
        assert await names(one) == ["first", "second"]


async def test_where_one_node_runs_a_second_is_refused_until_it_is_gone(url: str) -> None:
    async with Node.open(url, replica_id="berlin") as node:
        with pytest.raises(JournalBusyError, match="another node runs on postgresql://"):
            async with Node.open(url, replica_id="berlin"):
                raise AssertionError("two nodes run on one journal")
        await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
    async with Node.open(url, replica_id="berlin") as node:
        assert (await node.replicator.get("visits", GCounter)).value == 1


async def test_a_node_that_cannot_say_which_log_it_writes_does_not_start(url: str) -> None:
    """It would write to its old log, whose numbers may be taken."""
    async with Journal.open(url) as journal:
        await store_of(journal).use_log("berlin~1")
    of(
        url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the log stays'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON replica FOR EACH ROW"
        " WHEN (NEW.log IS DISTINCT FROM OLD.log) EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(StorageError, match="the log stays"):
        async with Node.open(url, replica_id="berlin", listen="127.0.0.1:0"):
            raise AssertionError("it has started")
    of(url, "DROP TRIGGER refuse ON replica")
    async with Node.open(url, replica_id="berlin", listen="127.0.0.1:0") as node:
        assert store_of(node).log_id not in ("", "berlin~1")


async def test_a_node_that_was_replaced_while_it_was_cut_off_writes_nothing_more_and_ends(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOOK_SECONDS", 0.05)

    async def be_replaced() -> None:
        async with Node.open(url, replica_id="berlin") as node:
            store = store_of(node)
            await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
            of(url, "UPDATE replica SET holder = 'another', version = version + 1")
            with pytest.raises(JournalBusyError, match="nothing was written"):
                await store.save_states([], checkpoint=store.log_tail.position)
            of(url, f"SELECT pg_terminate_backend(pid) FROM ({LEASES}) AS lease")
            await anyio.sleep_forever()

    with anyio.fail_after(PATIENCE_SECONDS):
        with pytest.raises(JournalBusyError, match=r"another node has taken .* while this one was cut off"):
            await be_replaced()
    assert of(url, "SELECT log_position, checkpoint FROM replica") == [(1, 0)]


async def test_a_node_whose_connections_are_lost_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOOK_SECONDS", 0.01)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with Node.open(url, replica_id="berlin") as node:
            for _ in range(3):
                (before,) = of(url, LEASES)
                of(
                    url,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'calliope'"
                    " AND pid <> pg_backend_pid()",
                )
                await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
                while await anyio.to_thread.run_sync(of, url, LEASES) in ([], [before]):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            with pytest.raises(JournalBusyError):
                async with Node.open(url, replica_id="berlin"):
                    raise AssertionError("two nodes run on one journal")
            assert (await node.replicator.get("visits", GCounter)).value == 3


async def test_a_database_that_was_restored_is_written_in_a_fresh_log_and_forks_nothing(
    postgres_url: str, database_names: tuple[str, str], tmp_path: Path
) -> None:
    """What others have seen of the old log after the backup is theirs to tell, and comes back."""
    before, restored = database_names
    of(postgres_url, f"CREATE DATABASE {before}")
    async with Node.open(tmp_path / "oslo.db", replica_id="oslo", listen="127.0.0.1:0") as oslo:

        async def write(name: str) -> None:
            berlin = Node.open(in_database(postgres_url, before), replica_id="berlin", peers=[oslo.address])
            async with berlin:
                await berlin.journal.replicated_event_stream("s", Written, replica_id="berlin").persist(Written(name))
                await berlin.replicator.update(
                    "cart", ORSet, lambda cart: cart.add(name), replicas=2, timeout=PATIENCE_SECONDS
                )
                await same([berlin, oslo])

        with anyio.fail_after(PATIENCE_SECONDS):
            await write("kept")
            of(postgres_url, f"CREATE DATABASE {restored} TEMPLATE {before}")
            await write("lost")
            async with Journal.open(in_database(postgres_url, restored)) as journal:
                clerk = journal.replicated_event_stream("s", Written, replica_id="clerk")
                old_log_id = store_of(journal).log_id
                await clerk.persist(Written("clerk"))
                assert old_log_id != store_of(journal).log_id
            async with Node.open(
                in_database(postgres_url, restored), replica_id="berlin", peers=[oslo.address]
            ) as berlin:
                await berlin.journal.replicated_event_stream("s", Written, replica_id="berlin").persist(Written("new"))
                await berlin.replicator.update(
                    "cart", ORSet, lambda cart: cart.add("new"), replicas=2, timeout=PATIENCE_SECONDS
                )
                await same([berlin, oslo])
                for node in (berlin, oslo):
                    assert sorted(await names(node)) == ["clerk", "kept", "lost", "new"]
                    assert (await node.replicator.get("cart", ORSet)).value == {"kept", "lost", "new"}


async def test_who_comes_to_a_database_of_another_lineage_moves_on_but_once(url: str) -> None:
    async with Journal.open(url) as journal:
        stream = journal.replicated_event_stream("s", Written, replica_id="berlin")
        await stream.persist(Written("before"))
        store = store_of(journal)
        log_id = store.log_id
        of(url, "UPDATE replica SET lineage = 'another', version = version + 1")
        await stream.persist(Written("after"))
        assert store.log_id != log_id
        assert store.log_id.startswith("berlin~")
        assert store.vector == {log_id: 1, store.log_id: 1}
        assert await stream.version() == {"berlin": 1, store.log_id: 1}
        await stream.persist(Written("again"))
        assert store.vector == {log_id: 1, store.log_id: 2}


async def test_a_log_is_read_to_the_end_though_little_of_it_is_lacked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_log_reader, "SCAN_POSITIONS", 1)
    sent = [*entries_of("paris~1", 1), *entries_of("rome~1", *range(1, 30)), *entries_of("paris~1", 2, 3)]
    async with Journal.open(url) as journal:
        store = store_of(journal)
        await store.receive(sent)
        assert await whole_log(store, VersionVector({"rome~1": 29}), bytes_max=1) == [sent[0], *sent[-2:]]
        page = await store.read_log(have=VersionVector({"rome~1": 29, "paris~1": 1}), after=0, bytes_max=10_000)
        assert (page.entries[0], page.head) == (sent[-2], len(sent))


async def test_a_damaged_event_does_not_keep_others_from_hearing_of_the_log(url: str) -> None:
    async with Journal.open(url) as one, Journal.open(url) as two:
        of(
            url,
            "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.payload := '\\x05'; RETURN NEW; END $$;"
            "CREATE TRIGGER damage BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION damage()",
        )
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as reading:
                reading.start_soon(store_of(two).tail.wait, None)
                await checkpoint()
                await one.replicated_event_stream("s", Written, replica_id="berlin").persist(Written("first"))
                await store_of(two).log_tail.wait(0)
        assert store_of(two).vector == store_of(one).vector
        with pytest.raises(CorruptRecordError):
            await names(two)


async def test_when_the_log_moves_it_moves_for_all_processes(url: str) -> None:
    async with Journal.open(url) as one, Node.open(url, replica_id="berlin") as node:
        stream = one.replicated_event_stream("s", Written, replica_id="clerk")
        await stream.persist(Written("first"))
        value = await node.replicator.get("visits", GCounter)
        await store_of(one).use_log("berlin~2")
        await stream.persist(Written("second"))
        assert store_of(one).vector["berlin~2"] == 1
        value.increment()
        with pytest.raises(StaleValueError):
            await node.replicator.update("visits", value)
        await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
        assert store_of(node).log_id == "berlin~2"
        assert (await node.replicator.get("visits", GCounter)).value == 1


async def test_a_journal_from_before_replicas_becomes_one_that_can_be_a_replica(url: str) -> None:
    async with Journal.open(url) as journal:
        await journal.event_stream("plain", Written).persist(Written("old"))
    of(url, f"DROP TABLE {LOG_TABLE_NAMES}; UPDATE journal SET format = 1")
    async with Journal.open(url) as one, Journal.open(url) as two:
        assert of(url, "SELECT format FROM journal") == [(FORMAT_VERSION,)]
        await two.replicated_event_stream("s", Written, replica_id="berlin").persist(Written("new"))
        assert [event.name for event in await one.event_stream("plain", Written).query().run_collect()] == ["old"]
        assert await names(one) == ["new"]


async def test_a_role_needs_no_more_than_the_documented_rights_to_be_a_node(postgres_url: str, url: str) -> None:
    schema = PostgresAddress.parse(url).schema
    async with Journal.open(url):
        pass
    role = f"node_{schema}"
    of(
        url,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};"
        f"GRANT SELECT, UPDATE ON journal TO {role};"
        f"GRANT SELECT, INSERT ON stream, event_type, event, event_key, event_tag TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON writer, snapshot, replica_fact TO {role};"
        f"GRANT SELECT, INSERT, UPDATE ON replica, replica_log, stream_version, crdt_state TO {role};"
        f"GRANT SELECT, INSERT, DELETE ON log_entry TO {role}",
    )
    async with Node.open(url.replace("postgres:@", f"{role}@"), replica_id="berlin") as node:
        await node.journal.replicated_event_stream("s", Written, replica_id="berlin").persist(Written("first"))
        await node.replicator.update("visits", GCounter, lambda counter: counter.increment())
        await node.replicator.checkpoint()
        store = store_of(node)
        await store.forget_operations(through=store.checkpoint)
        await node.replicator.delete("visits")
        assert of(url, "SELECT lineage <> '' FROM replica") == [(True,)]


@pytest.mark.soak
def test_processes_that_write_while_the_server_and_the_node_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    with own_server() as server:
        url = f"{url_of_schema(server.url, new_schema())}&timeout={PATIENCE_SECONDS:g}"
        acknowledged, held, replicas = written_while_killed(server, url, tmp_path)
        logs = of(
            url,
            "SELECT replica_log.number - floor, count(log_entry.number) FILTER (WHERE log_entry.number > floor)"
            " FROM replica_log LEFT JOIN log_entry ON id = log GROUP BY id",
        )
        assert all(numbers == entries for numbers, entries in logs)
    clerks_wrote = [name for name in held["events"] if not name.startswith(("berlin", "lisbon"))]
    assert len(acknowledged) > 100
    print(f"{len(acknowledged)} events of three processes, all there once")
    assert sorted(clerks_wrote) == sorted(acknowledged)
    held["events"] = [name for name in held["events"] if name not in acknowledged]
    check_nothing_lost_nothing_twice(held, replicas)
