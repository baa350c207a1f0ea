"""The structures under the sequences, against plain lists."""

from bisect import bisect_right
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdts.run import COUNTER_STEP, END, OFFSET_STEP, START, Run
from crdts.run_directory import RunDirectory
from crdts.run_tree import NODE_SIZE_MAX, RunTree


def run(number: int, content: str | None = "x", length: int = 1) -> Run:
    size = len(content) if content else length
    start = number * COUNTER_STEP
    deletions = () if content else ((1 << 20, 0),)
    return Run(
        start,
        OFFSET_STEP,
        size,
        content,
        number,
        hangs_right=True,
        left_origin=START,
        right_origin=END,
        deletions=deletions,
    )


# The tree


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), packed=st.integers(0, 40), steps=st.integers(0, 120))
def test_a_tree_says_what_a_list_of_runs_says(seed, packed, steps):
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crdts.run_tree.NODE_SIZE_MAX", 4)
        patch.setattr("crdts.run_tree.NODE_SIZE_PACKED", 3)
        model = [run(number, random.choice(["a", "bc", "def", None])) for number in range(1, packed + 1)]
        tree = RunTree(model)
        for number in range(packed + 1, packed + steps + 1):
            change(random, tree, model, number)
            expect_same(tree, model)


def change(random, tree, model, number):
    if model and random.random() < 0.4:
        at = random.randrange(len(model))
        tree.remove(model.pop(at))
    elif model and random.random() < 0.2:
        grown = random.choice([each for each in model if each.visible] or [None])
        if grown is not None:
            grown.content += "z"
            grown.length += 1
            grown.visible += 1
            tree.resize(grown, 1)
    else:
        at = random.randint(0, len(model))
        new = run(number, random.choice(["a", "bc", None]))
        tree.insert(new, model[at - 1] if at else tree.first)
        model.insert(at, new)


def expect_same(tree, model):
    assert list(tree) == model
    assert len(tree) == sum(each.visible for each in model)
    assert tree.last is (model[-1] if model else tree.first)
    index = 0
    for place, each in enumerate(model):
        assert each.previous is (model[place - 1] if place else tree.first)
        if each.visible:
            assert tree.find(index) == tree.find(index + each.visible - 1) == (each, index)
        index += each.visible
    for one, other in pairwise(model):
        assert tree.precedes(one, other)
        assert not tree.precedes(other, one)


def test_there_is_nothing_beyond_the_last_element():
    tree = RunTree([run(1, "abc")])
    with pytest.raises(IndexError, match="no visible element 3: there are 3"):
        tree.find(3)


def test_a_hundred_thousand_runs_are_four_steps_deep_at_most():
    tree = RunTree()
    after = tree.first
    random = Random(7)
    runs = [after]
    for number in range(1, 100_001):
        new = run(number)
        tree.insert(new, random.choice(runs[-1000:]))
        runs.append(new)
    depth, node = 0, runs[-1].above
    while node is not None:
        assert len(node.items) <= NODE_SIZE_MAX
        depth, node = depth + 1, node.above
    assert depth <= 4


# The directory


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), packed=st.integers(0, 30), steps=st.integers(0, 120))
def test_a_directory_says_what_a_sorted_list_says(seed, packed, steps):
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crdts.run_directory.CHUNK_SIZE_MAX", 4)
        patch.setattr("crdts.run_directory.CHUNK_SIZE_PACKED", 3)
        model = {number: run(number, "abc"[: random.randint(1, 3)]) for number in range(1, packed + 1)}
        directory = RunDirectory(model.values())
        for _ in range(steps):
            number = random.randint(1, 60)
            if number in model:
                directory.discard(model.pop(number))
            else:
                model[number] = run(number, "abc"[: random.randint(1, 3)])
                directory.add(model[number])
            expect_finds(directory, model, random)


def expect_finds(directory, model, random):
    number, offset = random.randint(0, 61), random.randint(0, 3)
    element = number * COUNTER_STEP + offset * OFFSET_STEP
    known = sorted(model)
    at = bisect_right(known, number)
    held = model.get(number) if number in model and offset < model[number].length else None
    following = model[known[at]] if at < len(known) else None
    assert directory.find(element) is held
    assert directory.at_or_after(element) is (held or following)
    before = [each for each in known if (each, 0) < (number, offset)]
    assert directory.last_before(element) is (model[before[-1]] if before else None)


def test_a_directory_can_be_emptied_and_filled_again():
    first, second = run(1), run(2)
    directory = RunDirectory([first])
    directory.discard(first)
    assert directory.at_or_after(0) is None
    directory.add(second)
    assert directory.at_or_after(0) is directory.find(second.start) is second


def test_an_element_between_those_of_a_typed_run_is_not_in_it():
    typed = Run(COUNTER_STEP, COUNTER_STEP, 3, "abc", 1, hangs_right=True, left_origin=START, right_origin=END)
    directory = RunDirectory([typed])
    assert directory.find(2 * COUNTER_STEP) is typed
    assert directory.find(2 * COUNTER_STEP + OFFSET_STEP) is None
