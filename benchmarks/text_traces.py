"""Editing texts: recorded or generated sessions, alone and by several writers, and how the cost grows with the text.

`python -m benchmarks.text_traces --trace FILE` replays one recorded session and checks what it ends with. A file is in
the format of github.com/josephg/editing-traces: transactions of patches [position, deleted, inserted], for a session
of several writers each with the transactions that its writer had seen.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import gettempdir

from benchmarks.rendering import show
from benchmarks.setting import Setting
from benchmarks.stopwatch import memory
from benchmarks.table import BYTES, Benchmark, Contender, Table, Unit, compare
from benchmarks.text_peers import Edit, naive_list, plain_list, text_peers
from benchmarks.text_python_peers import python_peers
from crdts import CausalityError, Operation, Text

SECONDS = Unit("s", lower_is_better=True)
MICROSECONDS = Unit("µs an edit", lower_is_better=True)
NAIVE_EDITS_MAX = 5_000
PYTHON_EDITS_MAX = 1_000


@dataclass(frozen=True)
class Step:
    """What one writer did at once.

    Attributes:
        writer: who.
        parents: the steps after which it was done, besides all that came before them.
        edits: what was done.
    """

    writer: int
    parents: Sequence[int]
    edits: Sequence[Edit]


@dataclass(frozen=True)
class Trace:
    """A session.

    Attributes:
        steps: what was done, causes before effects.
        end: the text that it ended with; None if it was cut short.
        writers: how many took part.
    """

    steps: Sequence[Step]
    end: str | None
    writers: int

    @property
    def edits(self) -> list[Edit]:
        """All edits, for a session of one writer."""
        return [edit for step in self.steps for edit in step.edits]


def read(path: Path) -> Trace:
    """Read a recorded session."""
    recorded = json.loads(gzip.decompress(path.read_bytes()))
    steps = [
        Step(
            each.get("agent", 0), each.get("parents", [number - 1][:number]), [tuple(edit) for edit in each["patches"]]
        )
        for number, each in enumerate(recorded["txns"])
    ]
    return Trace(steps, recorded["endContent"], recorded.get("numAgents", 1))


def generated(count: int, seed: int = 1) -> Trace:
    """Make a session of one writer, who types, corrects and jumps about."""
    random = Random(seed)
    steps: list[Step] = []
    length, cursor = 0, 0
    for number in range(count):
        if random.random() < 0.03:
            cursor = random.randint(0, length)
        if cursor and random.random() < 0.25:
            cursor, edit = cursor - 1, (cursor - 1, 1, "")
        else:
            cursor, edit = cursor + 1, (cursor, 0, random.choice("etaoin shrdlu"))
        length += len(edit[2]) - edit[1]
        steps.append(Step(0, [number - 1][:number], [edit]))
    return Trace(steps, plain_list([edit for step in steps for edit in step.edits]), 1)


# Replaying


def replay(edits: Sequence[Edit]) -> Text:
    """Carry out edits, each as an operation of its own, which is returned as for shipping."""
    text = Text("a")
    insert, delete = text.insert, text.delete
    for index, deleted, inserted in edits:
        if deleted:
            delete(index, deleted)
        if inserted:
            insert(index, inserted)
    return text


def replay_together(trace: Trace) -> list[Text]:
    """Carry out what every writer did at a replica of its own, which has then seen what the writer had seen."""
    replicas = [Text(f"writer-{number}") for number in range(trace.writers)]
    logs: list[list[Operation]] = [[] for _ in replicas]
    delivered = [[0] * trace.writers for _ in replicas]
    seen: list[list[int]] = []
    for step in trace.steps:
        writer = step.writer
        past = [max(counts) for counts in zip([0] * trace.writers, *(seen[each] for each in step.parents), strict=True)]
        _deliver(replicas[writer], logs, delivered[writer], past, writer)
        logs[writer] += _edit(replicas[writer], step.edits)
        past[writer] = len(logs[writer])
        seen.append(past)
    for writer, replica in enumerate(replicas):
        _deliver(replica, logs, delivered[writer], [len(log) for log in logs], writer)
    return replicas


def _deliver(
    replica: Text, logs: list[list[Operation]], delivered: list[int], past: Sequence[int], writer: int
) -> None:
    """Apply what is missing of a past; of several other writers, whatever is possible first."""
    others = [other for other in range(len(logs)) if other != writer]
    while any(delivered[other] < past[other] for other in others):
        for other in others:
            delivered[other] += _apply(replica, logs[other][delivered[other] : past[other]])


def _apply(replica: Text, operations: Sequence[Operation]) -> int:
    """Apply operations until one of them is premature, and return how many have been applied."""
    for count, operation in enumerate(operations):
        try:
            replica.apply(operation)
        except CausalityError:
            return count
    return len(operations)


def _edit(replica: Text, edits: Sequence[Edit]) -> list[Operation]:
    operations = []
    for index, deleted, inserted in edits:
        if deleted:
            operations.append(replica.delete(index, deleted))
        if inserted:
            operations.append(replica.insert(index, inserted))
    return operations


# Tables


def one_writer(setting: Setting) -> Table:
    """Measure a session of one writer, one operation an edit."""
    trace = _trace_of_one(setting)
    edits = trace.edits
    few = edits[: setting.count(NAIVE_EDITS_MAX)]
    return compare(
        setting,
        "Replaying what one writer typed, one operation an edit",
        SECONDS,
        [
            Contender("crdts: Text", lambda: _seconds(lambda: replay(edits).value, trace.end)),
            *(
                Contender(
                    peer.name,
                    lambda peer=peer: _seconds(lambda: peer.replay(edits), trace.end),  # type: ignore[misc]
                    target=1 / 3 if peer.name.startswith("pycrdt") else None,
                )
                for peer in text_peers()
            ),
            Contender(
                f"a marked list in pure Python, {len(few):,} edits",
                lambda: _seconds(partial(naive_list, few), None),
            ),
            Contender("plain list, no CRDT", lambda: _seconds(partial(plain_list, edits), trace.end)),
        ],
        f"{len(edits):,} edits, {len(trace.end or ''):,} characters at the end, which are checked.",
    )


def in_python(setting: Setting) -> Table:
    """Measure the beginning of a session of one writer, with libraries that are written in Python alone."""
    edits = _trace_of_one(setting).edits[: setting.count(PYTHON_EDITS_MAX)]
    end = plain_list(edits)
    return compare(
        setting,
        f"Replaying the first {len(edits):,} edits of one writer in pure Python",
        SECONDS,
        [
            Contender("crdts: Text", lambda: _seconds(lambda: replay(edits).value, end)),
            *(
                Contender(peer.name, lambda peer=peer: _seconds(lambda: peer.replay(edits), end), target=1.0)  # type: ignore[misc]
                for peer in python_peers()
            ),
            Contender("a marked list, the textbook's RGA", lambda: _seconds(partial(naive_list, edits), end)),
        ],
        "As many edits as the slowest can manage; what each takes for an edit grows with the text, ours hardly.",
    )


def several_writers(setting: Setting) -> Table:
    """Measure a session of several writers, each at a replica that applies the operations of the others."""
    trace = _trace(setting)
    if trace is None or trace.writers < 2:
        trace = _meeting(setting.count(20_000, 20))
    return compare(
        setting,
        f"Replaying what {trace.writers} writers typed at {trace.writers} replicas",
        SECONDS,
        [Contender("crdts: Text", lambda: _seconds(lambda: _agreed(replay_together(trace)), trace.end))],
        f"{len(trace.steps):,} steps; all replicas end alike, and as recorded.",
    )


def saved_state(setting: Setting) -> Table:
    """Measure the bytes of a state after a session of one writer."""
    edits = _trace_of_one(setting).edits
    return compare(
        setting.once(),
        "The saved state after what one writer typed",
        BYTES,
        [
            Contender("crdts: Text, all of it stable", lambda: len(_stable(replay(edits)).to_bytes())),
            Contender("crdts: Text, nothing of it stable", lambda: len(replay(edits).to_bytes())),
            *(Contender(peer.name, lambda peer=peer: len(peer.state(edits))) for peer in text_peers()),  # type: ignore[misc]
            Contender("the characters alone", lambda: len(replay(edits).value.encode())),
        ],
    )


def memory_in_use(setting: Setting) -> Table:
    """Measure the memory of a text after a session of one writer."""
    edits = _trace_of_one(setting).edits
    stable = _stable(replay(edits)).to_bytes()
    return compare(
        setting.once(),
        "The memory of a text after what one writer typed",
        BYTES,
        [
            Contender("crdts: Text, all of it stable", lambda: memory(lambda: Text.from_bytes(stable, "b"))),
            Contender("crdts: Text, nothing of it stable", lambda: memory(lambda: replay(edits))),
            Contender("the characters alone", lambda: memory(lambda: list(plain_list(edits)))),
        ],
    )


def growing_text(setting: Setting) -> Table:
    """Measure edits at random places of texts that consist of more and more runs."""
    sizes = [setting.count(size, 10) for size in (300_000, 100_000, 10_000, 1_000)]
    texts = {size: scattered(size) for size in sizes}
    return compare(
        setting,
        "Single edits at random places, by the number of runs of the text",
        MICROSECONDS,
        [Contender(f"{size:,} runs", partial(_random_edits, texts[size], Random(size))) for size in sizes],
        "If an edit took time in proportion to the runs, the last ratio would be 1/300.",
    )


def scattered(count: int) -> Text:
    """Make a text of that many runs of one character: each was inserted at a random place."""
    random = Random(count)
    text = Text("a")
    for length in range(count):
        text.insert(random.randint(0, length), "x")
    return text


BENCHMARKS: Sequence[Benchmark] = (one_writer, in_python, several_writers, saved_state, memory_in_use, growing_text)


def _random_edits(text: Text, random: Random) -> float:
    count = min(2_000, len(text))
    began = time.perf_counter()
    for _ in range(count):
        text.insert(random.randint(0, len(text)), "y")
        text.delete(random.randrange(len(text)))
    return 1e6 * (time.perf_counter() - began) / (2 * count)


def _seconds(carry_out: Callable[[], str], end: str | None) -> float:
    began = time.perf_counter()
    result = carry_out()
    elapsed = time.perf_counter() - began
    if end is not None and result != end:
        raise AssertionError(f"the session ended with {result[:80]!r}…, not with {end[:80]!r}…")
    return elapsed


def _agreed(replicas: list[Text]) -> str:
    first, *others = replicas
    if any(each != first or each.value != first.value for each in others):
        raise AssertionError("the replicas did not end alike")
    return first.value


def _stable(text: Text) -> Text:
    text.stabilize(text.version)
    return text


def _trace(setting: Setting) -> Trace | None:
    return read(setting.trace) if setting.trace is not None else None


def _trace_of_one(setting: Setting) -> Trace:
    trace = _trace(setting)
    return trace if trace is not None and trace.writers == 1 else generated(setting.count(100_000, 100))


def _meeting(count: int) -> Trace:
    """Make a session of two writers who see each other's work a little late."""
    random = Random(3)
    steps: list[Step] = []
    replicas, heads = [Text("0"), Text("1")], [[-1, -1], [-1, -1]]
    logs: list[list[Operation]] = [[], []]
    for number in range(count):
        writer = random.randrange(2)
        other = 1 - writer
        if random.random() < 0.2:
            for operation in logs[other]:
                replicas[writer].apply(operation)
            heads[writer][other] = heads[other][other]
        edit = (random.randint(0, len(replicas[writer])), 0, random.choice("etaoin"))
        logs[writer] += _edit(replicas[writer], [edit])
        steps.append(Step(writer, [head for head in heads[writer] if head >= 0], [edit]))
        heads[writer][writer] = number
    replicas[0].merge(replicas[1])
    return Trace(steps, replicas[0].value, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a recorded session, or generated ones, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_traces", description=__doc__)
    parser.add_argument("--trace", type=Path, help="a recorded session")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    options = parser.parse_args(arguments)
    setting = Setting(Path(gettempdir()), rounds=options.rounds, seconds=300.0, trace=options.trace)
    concerns_several = options.trace is not None and read(options.trace).writers > 1
    for benchmark in [several_writers] if concerns_several else BENCHMARKS:
        show(benchmark(setting))
    return 0


if __name__ == "__main__":
    sys.exit(main())
