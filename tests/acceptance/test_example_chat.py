"""The chat of `examples/chat`: three processes talk, by a script in which answers follow what they answer."""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.examples_run import run_example

ROOT = Path(__file__).parents[2]
SECONDS = 30

SCRIPT = [
    ("ada", "does anybody have a table for the sines?", []),
    ("grace", "yes, to seven digits", ["ada: does anybody have a table for the sines?"]),
    ("edsger", "why seven?", ["grace: yes, to seven digits"]),
    ("grace", "more do not fit on the card", ["edsger: why seven?"]),
    ("ada", "seven will do", ["edsger: why seven?", "grace: yes, to seven digits"]),
    ("edsger", "good night", ["ada: seven will do", "grace: more do not fit on the card"]),
]
"""Who says what, once which lines are on their screen."""

LINES = [f"{name}: {text}" for name, text, _ in SCRIPT]


class Person:
    """A process of the chat: what is typed, and what is on the screen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.screen: list[str] = []
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input, self._output = process.stdin, process.stdout
        self._printed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.address = process.stderr.readline().split()[-1]
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def say(self, text: str) -> None:
        self._input.write(f"{text}\n")
        self._input.flush()

    def until_seen(self, *lines: str) -> None:
        while not set(lines) <= set(self.screen):
            self.screen.append(self._printed.get(timeout=SECONDS))

    def leave(self) -> list[str]:
        """End the input; return the conversation that is then printed."""
        self._input.close()
        assert self.process.wait(SECONDS) == 0
        self._reader.join()
        rest = []
        while not self._printed.empty():
            rest.append(self._printed.get())
        assert rest[:2] == ["", "The conversation:"], "a line was printed twice"
        return rest[2:]

    def _read(self) -> None:
        for line in self._output:
            self._printed.put(line.rstrip("\n"))


@contextmanager
def person(folder: Path, name: str, *peers: Person) -> Iterator[Person]:
    command = [sys.executable, "-W", "error", "-m", "examples.chat", "--name", name]
    command += ["--data", str(folder / f"{name}.db"), *(f"--peer={peer.address}" for peer in peers)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Person(process)
        finally:
            process.kill()


def check_order(lines: list[str]) -> None:
    """Check that all lines are there, once each, none above one that was on its writer's screen."""
    assert sorted(lines) == sorted(LINES)
    for name, text, seen in SCRIPT:
        for line in seen:
            assert lines.index(line) < lines.index(f"{name}: {text}")


def test_three_processes_print_the_same_lines_and_no_answer_before_its_question(tmp_path: Path) -> None:
    with (
        person(tmp_path, "ada") as ada,
        person(tmp_path, "grace", ada) as grace,
        person(tmp_path, "edsger", grace) as edsger,  # who knows nothing of ada
    ):
        people = {"ada": ada, "grace": grace, "edsger": edsger}
        for name, text, seen in SCRIPT:
            people[name].until_seen(*seen)
            people[name].say(text)
        for one in people.values():
            one.until_seen(*LINES)
            check_order(one.screen)
        conversations = [edsger.leave(), grace.leave()]
        ada.say("is nobody here any more?")
        with person(tmp_path, "grace", ada) as grace:  # again
            for one in (ada, grace):
                one.until_seen(*LINES, "ada: is nobody here any more?")
            assert len(grace.screen) == len(LINES) + 1, "a line was printed twice"
            conversations += [grace.leave()[:-1], ada.leave()[:-1]]
    check_order(conversations[0])
    assert all(conversation == conversations[0] for conversation in conversations)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "a~b" in run_example("chat", "--name", "a~b", "--data", tmp_path / "chat.db")
