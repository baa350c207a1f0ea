"""The `calliope` command as a shell sees it: output, errors, exit codes, signals and pipes."""

import csv
import io
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import chdir
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from calliope import Journal, UntypedEvent
from replication.commands.application import application

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "replication.cli"]
COLUMNS = ["--stream-column", "order", "--type-column", "activity", "--time-column", "at"]
AT = "2024-05-01T12:00:00+02:00"
LOG = f"""order,activity,at,sku,note
o-1,placed,{AT},,"please,
ring ""twice\"""
o-1,item-added,{AT},s-1,
o-2,placed,{AT},,
o-1,item-added,{AT},s-1,
"""

Completed = subprocess.CompletedProcess[str]


def environment(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONWARNINGS": "error"}


class Shell:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = environment(folder)

    def write(self, name: str, text: str | bytes) -> str:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    def run(self, *arguments: str, stdin: str | None = None) -> Completed:
        """Run a command in this process: a start of Python for each would cost more than all that they do."""
        with chdir(self.folder):
            result = CliRunner(env=self.environment).invoke(
                application, arguments, input=stdin, prog_name="calliope", catch_exceptions=False
            )
        return Completed(arguments, result.exit_code, result.stdout, result.stderr)

    def succeed(self, *arguments: str, stdin: str | None = None) -> str:
        completed = self.run(*arguments, stdin=stdin)
        assert (completed.returncode, completed.stderr) == (0, "")
        return completed.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def events(self, journal: str = "j.db") -> list[tuple[str, str, object]]:
        """Return stream, type and data of every event, read by the library."""

        async def read() -> list[tuple[str, str, object]]:
            async with Journal.open(self.folder / journal) as opened:
                records = await opened.records(event_type=UntypedEvent).run_collect()
                return [(record.stream_id, record.type, record.data.data) for record in records]

        return anyio.run(read)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """A shell with a journal `j.db` that holds the log."""
    shell.succeed("import", shell.write("log.csv", LOG), "--into", "j.db", *COLUMNS)
    return shell


def big_log(rows: int, streams: int = 100) -> tuple[str, list[tuple[str, str, object]]]:
    """Return a log whose streams alternate at random, and its events."""
    chance = random.Random(rows)
    events = [(f"o-{chance.randrange(streams)}", "counted", {"n": str(number)}) for number in range(rows)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["order", "activity", "at", "n"])
    writer.writerows([stream, type_, AT, data["n"]] for stream, type_, data in events)
    return text.getvalue(), list(events)


class TestImport:
    def test_adds_every_row_once(self, shell: Shell) -> None:
        file = shell.write("log.csv", LOG)
        assert shell.succeed("import", file, "--into", "j.db", *COLUMNS) == "j.db: 4 events in 2 streams\n"
        again = shell.succeed("import", file, "--into", "j.db", *COLUMNS)
        assert again == "j.db: nothing is new, it holds all 4 rows already\n"
        assert shell.events() == [
            ("o-1", "placed", {"note": 'please,\nring "twice"'}),
            ("o-1", "item-added", {"sku": "s-1"}),
            ("o-2", "placed", {}),
            ("o-1", "item-added", {"sku": "s-1"}),
        ]

    def test_adds_what_is_new_in_a_file_that_was_renamed_and_grew(self, filled: Shell) -> None:
        file = filled.write("renamed.csv", LOG + f"o-2,paid,{AT},,\n")
        told = filled.succeed("import", file, "--into", "j.db", *COLUMNS)
        assert told == "j.db: 1 events in 2 streams, and it held 4 rows already\n"

    def test_reads_json_lines_and_other_separators(self, shell: Shell) -> None:
        rows = [{"order": "o-1", "activity": "placed", "at": AT, "amount": 2}]
        shell.write("log.jsonl", "\n".join(map(json.dumps, rows)))
        shell.write("log.txt", "order;activity;at;amount\no-1;placed;2024-05-01;3\n")
        shell.succeed("import", "log.jsonl", "--into", "j.db", *COLUMNS)
        shell.succeed("import", "log.txt", "--into", "j.db", *COLUMNS, "--format", "csv", "--delimiter", ";")
        assert [data for _, _, data in shell.events()] == [{"amount": 2}, {"amount": "3"}]

    def test_refuses_a_bad_row_by_line_number_and_goes_on_when_it_is_mended(self, shell: Shell) -> None:
        file = shell.write("log.csv", LOG + f",placed,{AT},,\no-3,placed,{AT},,\n")
        refused = shell.run("import", file, "--into", "j.db", *COLUMNS)
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert refused.stderr == (
            "calliope: log.csv: line 7 has no 'order'; the 4 rows before it are in the journal, import again when it is"
            " mended\n"
        )
        assert len(shell.events()) == 4

        shell.write("log.csv", LOG + f"o-2,placed,{AT},,\no-3,placed,{AT},,\n")
        shell.succeed("import", file, "--into", "j.db", *COLUMNS)
        assert [stream for stream, *_ in shell.events()] == ["o-1", "o-1", "o-2", "o-1", "o-2", "o-3"]

    @pytest.mark.parametrize("rows", [1, 20_000])
    def test_takes_a_file_with_a_quote_left_open_for_what_it_is(self, shell: Shell, rows: int) -> None:
        file = shell.write("log.csv", LOG + f'o-1,placed,{AT},,"open\n' + f"o-1,placed,{AT},,{'x' * 200}\n" * rows)
        refused = shell.run("import", file, "--into", "j.db", *COLUMNS)
        assert refused.returncode == 1
        assert "line 7 is no CSV" in refused.stderr

    def test_of_a_file_that_is_no_log_makes_no_journal(self, shell: Shell) -> None:
        refused = shell.run("import", shell.write("log.csv", "a,b\n1,2\n"), "--into", "j.db", *COLUMNS)
        assert refused.returncode == 1
        assert "line 1 names no column 'order'; there are 'a', 'b'" in refused.stderr
        assert [file.name for file in shell.folder.iterdir()] == ["log.csv"]

    def test_into_a_file_that_is_no_journal_changes_nothing(self, shell: Shell) -> None:
        file = shell.write("log.csv", LOG)
        refused = shell.run("import", file, "--into", file, *COLUMNS)
        assert refused.returncode == 2
        assert "log.csv is not a journal" in refused.stderr
        assert (shell.folder / file).read_text() == LOG

    def test_shows_how_far_it_is_on_a_terminal(self, shell: Shell) -> None:
        shell.write("log.csv", big_log(5_000)[0])
        terminal, its_side = pty.openpty()
        process = subprocess.run(
            [*COMMAND, "import", "log.csv", "--into", "j.db", *COLUMNS],
            cwd=shell.folder,
            env={**shell.environment, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=its_side,
            text=True,
            timeout=120,
            check=False,
        )
        os.close(its_side)
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
        assert (process.returncode, process.stdout) == (0, "j.db: 5,000 events in 100 streams\n")
        assert "rows" in shown

    def test_killed_in_the_middle_and_run_again_nothing_is_lost_doubled_or_moved(self, shell: Shell) -> None:
        self.killed_and_run_again(shell, kills=2)

    @pytest.mark.soak
    def test_killed_fifteen_times_nothing_is_lost_doubled_or_moved(self, shell: Shell) -> None:
        self.killed_and_run_again(shell, kills=15)

    def killed_and_run_again(self, shell: Shell, kills: int) -> None:
        text, events = big_log(15_000)
        arguments = ["import", shell.write("log.csv", text), "--into", "j.db", *COLUMNS]
        chance = random.Random(kills)
        unfinished = 0
        for _ in range(kills):
            before = size_of_log(shell)
            with shell.start(*arguments) as process:
                while process.poll() is None and size_of_log(shell) == before:
                    time.sleep(0.005)  # until it writes
                time.sleep(chance.uniform(0, 0.2))
                process.kill()
            assert shell.run("verify", "j.db").returncode == 0
            found = shell.events()
            assert found == events[: len(found)]
            unfinished += len(found) < len(events)

        assert unfinished > 0
        shell.succeed(*arguments)
        assert shell.events() == events
        assert "nothing is new" in shell.succeed(*arguments)

    def test_twice_at_once_loses_and_doubles_nothing(self, shell: Shell) -> None:
        text, events = big_log(3_000)
        arguments = ["import", shell.write("log.csv", text), "--into", "j.db", *COLUMNS]
        with shell.start(*arguments) as one, shell.start(*arguments) as other:
            codes = {one.wait(), other.wait()}
            errors = [process.stderr.read() for process in (one, other) if process.stderr]
        assert codes <= {0, 1}
        assert not any("Traceback" in error for error in errors)
        shell.run(*arguments)
        assert by_stream(shell.events()) == by_stream(events)


def size_of_log(shell: Shell) -> int:
    try:
        return (shell.folder / "j.db-wal").stat().st_size
    except FileNotFoundError:  # whoever closes the journal takes it away
        return 0


def by_stream(events: list[tuple[str, str, object]]) -> dict[str, list[object]]:
    found: dict[str, list[object]] = defaultdict(list)
    for stream, *event in events:
        found[stream].append(event)
    return found


class TestExport:
    def test_gives_csv_back_as_it_came(self, filled: Shell) -> None:
        exported = filled.succeed("export", "j.db", "--format", "csv", *COLUMNS)
        assert list(csv.DictReader(io.StringIO(exported))) == list(csv.DictReader(io.StringIO(LOG)))

    def test_is_read_by_import_from_a_pipe_and_from_a_file(self, filled: Shell) -> None:
        exported = filled.succeed("export", "j.db")
        filled.succeed("import", "-", "--format", "jsonl", "--into", "copy.db", stdin=exported)
        assert filled.events("copy.db") == filled.events("j.db")

        filled.succeed("export", "copy.db", "--output", "log.jsonl")
        assert (filled.folder / "log.jsonl").read_text() == exported
        assert "nothing is new" in filled.succeed("import", "log.jsonl", "--into", "j.db")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--stream", "o-2"], ["o-2 placed"]),
            (["--stream", "o-1", "--type", "placed"], ["o-1 placed"]),
            (["--prefix", "o-1", "--type", "item-added"], ["o-1 item-added", "o-1 item-added"]),
            (["--type", "placed"], ["o-1 placed", "o-2 placed"]),
            (["--stream", "o-1", "--prefix", "x"], []),
            (["--tag", "vip"], []),
            (["--stream", "o-1", "--tag", "vip"], []),
        ],
    )
    def test_selects(self, filled: Shell, options: list[str], expected: list[str]) -> None:
        lines = filled.succeed("export", "j.db", *options).splitlines()
        assert [f"{row['stream']} {row['type']}" for row in map(json.loads, lines)] == expected

    def test_that_fails_leaves_the_file_as_it_was(self, filled: Shell) -> None:
        filled.write("log.jsonl", "mine")
        failed = filled.run("export", "j.db", "--output", "log.jsonl", "--stream-column", "sku")
        assert failed.returncode == 1
        assert "the event at position 2 cannot be exported: its field 'sku' is called like a column" in failed.stderr
        assert (filled.folder / "log.jsonl").read_text() == "mine"
        assert not list(filled.folder.glob("*.part"))


class TestEventsAndStreams:
    def test_show_what_is_there(self, filled: Shell) -> None:
        assert filled.succeed("streams", "j.db") == "        3  o-1\n        1  o-2\n"
        assert filled.succeed("streams", "j.db", "--prefix", "o-2") == "        1  o-2\n"
        assert filled.succeed("events", "j.db", "o-2") == f"     1  {AT}  placed  {{}}\n"
        assert filled.succeed("events", "j.db", "o-1", "--after", "2") == f'     3  {AT}  item-added  {{"sku":"s-1"}}\n'

    def test_show_it_in_json_too(self, filled: Shell) -> None:
        (line,) = filled.succeed("events", "j.db", "o-2", "--format", "jsonl").splitlines()
        event = json.loads(line)
        assert (event["stream_id"], event["sequence_number"], event["position"]) == ("o-2", 1, 3)
        assert (event["type"], event["metadata"], event["data"]) == ("placed", {"time": AT}, {})
        lines = filled.succeed("streams", "j.db", "--format", "jsonl").splitlines()
        assert json.loads(lines[0]) == {"stream_id": "o-1", "kind": "plain", "events": 3}

    @pytest.mark.parametrize("how", ["argument", "option", "environment"])
    def test_are_told_which_journal(self, filled: Shell, how: str) -> None:
        if how == "environment":
            filled.environment["CALLIOPE_JOURNAL"] = "j.db"
        named = {"argument": ["j.db"], "option": ["--journal", "j.db"], "environment": []}[how]
        assert filled.succeed("streams", *named).count("\n") == 2
        stream = {"argument": ["j.db", "o-2"], "option": ["o-2", "-j", "j.db"], "environment": ["o-2"]}[how]
        assert filled.succeed("events", *stream).count("\n") == 1

    def test_print_nothing_that_moves_a_cursor(self, shell: Shell) -> None:
        row = {"order": "\x1b[2J", "activity": "\x07", "at": AT, "note": "\x1b[2J"}
        shell.write("log.jsonl", json.dumps(row))
        shell.succeed("import", "log.jsonl", "--into", "j.db", *COLUMNS)
        shown = shell.succeed("streams", "j.db") + shell.succeed("events", "j.db", "\x1b[2J")
        assert shown.replace("\n", "").isprintable()

    def test_a_stream_that_is_not_there_is_an_error(self, filled: Shell) -> None:
        completed = filled.run("events", "j.db", "o-3")
        assert (completed.returncode, completed.stderr) == (1, "calliope: there is no stream 'o-3' in the journal\n")

    def test_follow_new_events_until_interrupted_and_end_quietly(self, filled: Shell) -> None:
        with filled.start("events", "j.db", "o-2", "--follow") as follower:
            assert follower.stdout is not None
            assert follower.stderr is not None
            assert "placed" in follower.stdout.readline()
            filled.succeed("import", filled.write("log.csv", f"{LOG}o-2,paid,{AT},,\n"), "--into", "j.db", *COLUMNS)
            assert follower.stdout.readline() == f"     2  {AT}  paid  {{}}\n"
            follower.send_signal(signal.SIGINT)
            assert follower.wait(timeout=30) == 130
            assert (follower.stdout.read(), follower.stderr.read()) == ("", "")

    @pytest.mark.parametrize("command", [["streams", "j.db"], ["events", "j.db", "o-0"], ["export", "j.db"]])
    def test_end_quietly_when_nobody_reads_any_more(self, shell: Shell, command: list[str]) -> None:
        text, _ = big_log(4_000, streams=4_000 if command[0] == "streams" else 2)
        shell.succeed("import", shell.write("log.csv", text), "--into", "j.db", *COLUMNS)
        with shell.start(*command) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.wait(timeout=60) == 141
            assert process.stderr.read() == ""


class TestVerify:
    def test_says_that_a_journal_is_whole(self, filled: Shell) -> None:
        before = (filled.folder / "j.db").read_bytes()
        told = filled.succeed("verify", "j.db")
        assert told.startswith("j.db is whole: 4 events in 2 streams, 0 snapshots, ")
        assert (filled.folder / "j.db").read_bytes() == before

    def test_lists_what_is_damaged(self, filled: Shell) -> None:
        path = filled.folder / "j.db"
        data = bytearray(path.read_bytes())
        data[3 * 4096 + 4000] ^= 1
        path.write_bytes(data)
        told = filled.run("verify", "j.db")
        assert (told.returncode, told.stderr) == (1, "")
        assert told.stdout == "page 4: does not match its checksum\nj.db is damaged in 1 places\n"

    @pytest.mark.parametrize("url", ["postgresql://ann:secret@127.0.0.1/orders", "nats://ann:secret@127.0.0.1/orders"])
    def test_says_that_a_server_keeps_no_file(self, shell: Shell, url: str) -> None:
        told = shell.run("verify", url)
        assert told.returncode == 2
        assert f"{url.replace(':secret', '')} is kept by a server" in told.stderr
        assert "secret" not in told.stderr

    def test_lists_no_more_than_one_can_read(self, shell: Shell) -> None:
        shell.succeed("import", shell.write("log.csv", big_log(5_000)[0]), "--into", "j.db", *COLUMNS)
        path = shell.folder / "j.db"
        data = bytearray(path.read_bytes())
        data[4096 + 4095 :: 4096] = b"\xff" * len(data[4096 + 4095 :: 4096])
        path.write_bytes(data)
        told = shell.run("verify", "j.db")
        assert told.returncode == 1
        assert len(told.stdout.splitlines()) == 102
        assert told.stdout.splitlines()[-2].startswith("… and ")

    def test_reads_while_others_write(self, shell: Shell) -> None:
        shell.write("log.csv", big_log(10_000)[0])
        with shell.start("import", "log.csv", "--into", "j.db", *COLUMNS) as importer:
            while importer.poll() is None and size_of_log(shell) == 0:
                time.sleep(0.005)
            told = shell.run("verify", "j.db")
            assert (told.returncode, told.stderr) == (0, ""), told.stdout
            assert importer.wait() == 0

    @pytest.mark.parametrize("name", ["notes.txt", "folder", "nothing.db", "empty.db"])
    def test_refuses_what_is_no_journal(self, shell: Shell, name: str) -> None:
        shell.write("notes.txt", "notes")
        shell.write("empty.db", "")
        (shell.folder / "folder").mkdir()
        refused = shell.run("verify", name)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"calliope: {name} is ")
        assert refused.stderr.count("\n") == 1


MISUSES = {
    "no journal named": (["streams"], "Which journal?"),
    "a journal that is not there": (["streams", "nothing.db"], "nothing.db"),
    "a journal of an unknown kind": (["streams", "ftp://x"], "'ftp://x'"),
    "a file that is no journal": (["export", "log.csv"], "log.csv is not a journal"),
    "a file that is not there": (["import", "nothing.csv", "--into", "j.db"], "nothing.csv"),
    "no journal to import into": (["import", "log.csv"], "--into"),
    "a file of unknown form": (["import", "log.txt", "--into", "j.db"], "the suffix of 'log.txt' is none of .csv"),
    "half of the columns": (["import", "log.csv", "--into", "j.db", "--type-column", "t"], "column"),
    "a delimiter of two characters": (["import", "log.csv", "--into", "j.db", "--delimiter", ";;"], "';;'"),
    "a stream id that is too long": (["events", "j.db", "x" * 600], "at most 512 bytes"),
    "a prefix that is too long": (["export", "j.db", "--prefix", "x" * 600], "at most 512 bytes"),
    "an empty type": (["export", "j.db", "--type", ""], "type must not be empty"),
    "a number that is none": (["events", "j.db", "o-1", "--after", "one"], "'one'"),
    "a negative number": (["events", "j.db", "o-1", "--after", "-1"], "-1"),
    "too many names": (["events", "j.db", "o-1", "o-2"], "One stream at a time"),
    "one column for two things": (["export", "j.db", "--type-column", "stream"], "one column cannot say two things"),
    "an unknown command": (["improt"], "improt"),
}


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("filled"))
    shell.write("log.txt", LOG)
    shell.succeed("import", shell.write("log.csv", LOG), "--into", "j.db", *COLUMNS)
    return shell


class TestMisuse:
    @pytest.mark.parametrize("name", MISUSES)
    def test_is_told_and_makes_nothing(self, filled_once: Shell, name: str) -> None:
        arguments, expected = MISUSES[name]
        before = sorted(filled_once.folder.iterdir())
        refused = filled_once.run(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert expected in " ".join(refused.stderr.split())
        assert "Traceback" not in refused.stderr
        assert sorted(filled_once.folder.iterdir()) == before

    def test_without_its_extra_installed_says_which(self, tmp_path: Path) -> None:
        program = "import sys; sys.modules['click'] = None; from replication.cli import main; main()"
        completed = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert completed.returncode == 1
        assert completed.stderr == (
            "calliope: the command line needs click; pip install 'calliope-streams[cli]' brings it\n"
        )

    def test_help_explains_the_exit_codes(self, filled_once: Shell) -> None:
        assert "Exit codes: 0 all is well; 1 it failed" in " ".join(filled_once.succeed("--help").split())
        assert filled_once.succeed("--version").startswith("calliope")
