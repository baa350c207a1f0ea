"""A journal moves to JetStream and back: positions are others there, all else is the same."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from calliope import Journal, UntypedEvent
from calliope.copying import copy_journal
from replication.commands.application import application
from tests.nats import own_server, server


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_journal_moves_from_a_file_to_jetstream_and_back(tmp_path: Path) -> None:
    with server() as url:
        async with (
            Journal.open(tmp_path / "a.db", durability="relaxed") as first,
            Journal.open(f"{url}/copied") as cluster,
            Journal.open(tmp_path / "b.db", durability="relaxed") as last,
        ):
            for n in range(20):
                stream = first.event_stream(f"s-{n % 3}", UntypedEvent)
                many = [UntypedEvent("Happened", {"n": n, "m": m}) for m in range(n % 4 + 1)]
                await stream.persist(
                    many, event_id=f"id-{n}" if n % 5 else None, tags={f"t-{n % 2}"}, metadata={"n": n}
                )
                if n == 10:
                    await copy_journal(first, cluster)
            await first.snapshots.save_snapshot("s-1", {"sum": 1}, sequence_number=4)
            await first.snapshots.save_snapshot("a projection", 7, sequence_number=7)

            there, back = await copy_journal(first, cluster), await copy_journal(cluster, last)

            assert there.checksum == back.checksum
            assert (there.known, there.same_positions, there.snapshots, there.snapshots_left_out) == (26, False, 1, 1)
            records = [
                [*await journal.records(event_type=UntypedEvent).run_collect()] for journal in (first, cluster, last)
            ]
            for name in ("id", "timestamp", "tags", "metadata", "data", "stream_id", "sequence_number", "type"):
                one, other, third = [[getattr(record, name) for record in each] for each in records]
                assert one == other == third
            for journal in (cluster, last):
                stream = journal.event_stream("s-1", UntypedEvent)
                again = await stream.persist(UntypedEvent("Other", 0), event_id="id-7")
                assert [record.data.data for record in again.records] == [{"n": 7, "m": m} for m in range(4)]


def test_where_there_is_no_journal_none_is_made_in_order_to_copy_it(tmp_path: Path) -> None:
    target = tmp_path / "b.db"
    with own_server(users={"ada": "secret"}) as running:
        for _ in range(2):
            refused = CliRunner().invoke(application, ["copy", f"{running.url}/mistyped?timeout=60", str(target)])
            assert refused.exit_code == 2
            assert f"there is no journal nats://ada@{running.address}/mistyped" in refused.stderr
        assert running.monitored("jsz")["streams"] == 0
    assert not target.exists()
