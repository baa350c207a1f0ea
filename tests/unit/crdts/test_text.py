"""Text: one operation a string, an order that every replica finds alone, and little left of what is deleted."""

import tracemalloc
from random import Random
from time import perf_counter

import pytest
from hypothesis import strategies as st

from crdts import CausalityError, MalformedOperationError, Operation, ORMap, Text, VersionVector
from crdts.testing import check_convergence
from tests.unit.crdts.fugue_tree import elements


def typed(replica_id, text, *seen):
    document = Text(replica_id)
    for operation in seen:
        document.apply(operation)
    return document, [document.insert(len(document), character) for character in text]


def exchanged(*documents):
    for one in documents:
        for other in documents:
            one.merge(other)
    assert all(each == documents[0] and each.value == documents[0].value for each in documents)
    return documents[0].value


def runs(document):
    return [(run.content, run.length) for run in document._runs.runs()]


# Editing


def test_strings_are_inserted_and_deleted_by_index():
    text = Text("a")
    text.insert(0, "hello world")
    text.insert(5, ",")
    text.delete(0)
    text.insert(0, "J")
    text.delete(6, n=6)
    assert text.value == str(text) == "Jello,"
    assert len(text) == 6
    assert repr(text) == "<Text of a: 'Jello,' at {'a': 5}>"


def test_an_index_counts_code_points():
    text = Text("a")
    text.insert(0, "a🙂é")
    text.insert(2, "日本")
    text.delete(1)
    assert text.value == "a日本é"


def test_a_string_is_one_operation_and_one_run():
    one, other = Text("a"), Text("b")
    operation = one.insert(0, "a whole sentence at once")
    assert other.apply(Operation.from_bytes(operation.to_bytes()))
    assert runs(one) == runs(other) == [("a whole sentence at once", 24)]
    assert one.version == {"a": 1}


def test_what_is_typed_character_by_character_is_one_run_here_and_elsewhere():
    one, operations = typed("a", "typed")
    other = Text("b")
    for operation in operations:
        assert other.apply(operation)
    assert runs(one) == runs(other) == [("typed", 5)]


def test_a_backspace_held_down_leaves_one_run_of_deleted_characters():
    text, _ = typed("a", "wonderful")
    for index in range(8, 2, -1):
        text.delete(index)
    assert runs(text) == [("won", 3), (None, 6)]


def test_a_long_text_is_kept_in_pieces_and_stays_one_operation():
    text, other = Text("a"), Text("b")
    content = "".join(chr(97 + number % 26) for number in range(5000))
    other.apply(text.insert(0, content))
    assert max(length for _, length in runs(text)) <= 512
    text.insert(2500, "!")
    other.merge(text)
    assert other.value == content[:2500] + "!" + content[2500:]
    assert Text.from_bytes(text.to_bytes(), "c") == text == other


@pytest.mark.parametrize(
    ("call", "error", "what"),
    [
        (lambda text: text.insert(4, "x"), IndexError, "cannot insert at 4: possible are 0 to 3"),
        (lambda text: text.insert(-1, "x"), IndexError, "cannot insert at -1: possible are 0 to 3"),
        (lambda text: text.insert("0", "x"), TypeError, "cannot insert at '0': an index is an int"),
        (lambda text: text.insert(True, "x"), TypeError, "cannot insert at True"),
        (lambda text: text.insert(0, ""), ValueError, "the text to insert is empty"),
        (lambda text: text.insert(0, b"x"), TypeError, "a str, not b'x'"),
        (lambda text: text.insert(0, "a\ud800"), ValueError, "lone surrogate"),
        (lambda text: text.delete(3), IndexError, "cannot delete at 3: possible are 0 to 2"),
        (lambda text: text.delete(-1), IndexError, "cannot delete at -1"),
        (lambda text: text.delete(1, 3), IndexError, "cannot delete 3 characters at 1: there are 2"),
        (lambda text: text.delete(0, 0), ValueError, "cannot delete 0 characters"),
        (lambda text: text.delete(0, 1.0), TypeError, "cannot delete 1.0 characters"),
        (lambda text: text.delete(0, True), TypeError, "cannot delete True characters"),
        (lambda text: Text("e").delete(0), IndexError, "cannot delete at 0: there is nothing here"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(call, error, what):
    text = Text("a")
    text.insert(0, "abc")
    before = text.to_bytes()
    with pytest.raises(error, match=what):
        call(text)
    assert text.to_bytes() == before
    assert text.version == {"a": 1}


def test_local_edits_do_what_they_do_to_a_str():
    random = Random(11)
    for _ in range(20):
        text, model, at = Text("a"), "", 0
        for step in range(300):
            at = random.randint(0, len(model)) if step % 3 else min(len(model), at + 1)
            if model and random.random() < 0.4:
                at = min(at, len(model) - 1)
                count = random.randint(1, min(4, len(model) - at))
                text.delete(at, count)
                model = model[:at] + model[at + count :]
            else:
                new = random.choice(["x", "y", "zz", "other"])
                text.insert(at, new)
                model = model[:at] + new + model[at:]
            if random.random() < 0.02:
                text.stabilize(text.version)
            if random.random() < 0.02:
                text = Text.from_bytes(text.to_bytes(), "a")
            assert len(text) == len(model)
        assert text.value == model


# Concurrency


def test_concurrently_typed_words_are_not_interleaved_forwards():
    base = Text("base")
    start = base.insert(0, "()")
    one, other = Text("a"), Text("b")
    for document, word in ((one, "hello"), (other, "world")):
        document.apply(start)
        for index, character in enumerate(word, start=1):
            document.insert(index, character)
    assert exchanged(one, other) in ("(helloworld)", "(worldhello)")


def test_concurrently_typed_words_are_not_interleaved_backwards():
    one, other = Text("a"), Text("b")
    for document, word in ((one, "hello"), (other, "world")):
        for character in reversed(word):
            document.insert(0, character)
    assert exchanged(one, other) in ("helloworld", "worldhello")


def test_what_is_typed_concurrently_with_mistakes_in_any_direction_is_not_interleaved():
    random = Random(5)
    for _ in range(150):
        start = edited_at_random(random, Text("base"), 12)
        at = random.randint(0, len(start))
        writers = [start.copy(name) for name in "abcd"[: random.randint(2, 4)]]
        words = [type_with_mistakes(random, each, at) for each in writers]
        left, right = start.value[:at], start.value[at:]
        result = exchanged(*writers)
        assert result.startswith(left)
        assert result.endswith(right)
        middle = result[at : len(result) - len(right)]
        assert sorted(middle) == sorted("".join(words))
        assert all(word in middle for word in words), (words, middle)


def edited_at_random(random, text, steps):
    for _ in range(steps):
        if len(text) and random.random() < 0.4:
            text.delete(random.randrange(len(text)))
        else:
            text.insert(random.randint(0, len(text)), random.choice([".", "..", "..."]))
    return text


def type_with_mistakes(random, text, at):
    """Types a word of one letter at a place, forwards, backwards or all over it, correcting oneself; returns it."""
    if random.random() < 0.5:
        text.stabilize(VersionVector({"base": text.version["base"]}))
    word, cursor, step = "", 0, random.choice([0, 1, None])
    for _ in range(random.randint(1, 12)):
        if word and random.random() < 0.25:
            cursor = min(max(cursor - 1, 0), len(word) - 1)
            text.delete(at + cursor)
            word = word[1:]
        else:
            text.insert(at + cursor, text.replica_id)
            word += text.replica_id
            cursor += step if step is not None else random.randint(-cursor, len(word) - cursor)
    return word


def test_among_many_deleted_runs_an_insertion_is_where_it_was_put():
    one, other = Text("a"), Text("b")
    for number in range(60):
        writer, reader = (one, other) if number % 2 else (other, one)
        reader.apply(writer.insert(number, chr(65 + number % 26)))
    start = one.value
    other.apply(one.delete(10, 40))
    assert len(runs(one)) > 40
    one.apply(other.insert(10, "in between"))
    other.apply(one.insert(20, "!"))
    assert one.value == other.value == start[:10] + "in between!" + start[50:]


def test_of_two_strings_at_one_place_every_replica_has_the_same_first():
    one, other, third = Text("a"), Text("b"), Text("c")
    operations = [one.insert(0, "one"), other.insert(0, "two")]
    for document, order in ((one, (1,)), (other, (0,)), (third, (1, 0))):
        for number in order:
            document.apply(operations[number])
    assert one.value == other.value == third.value == "twoone"


def test_who_types_later_in_the_know_types_where_the_cursor_is():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "ac"))
    one.apply(other.insert(1, "b"))
    other.apply(one.insert(1, "-"))
    assert one.value == other.value == "a-bc"


def test_deletions_of_the_same_characters_agree():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "abcdef"))
    deletions = [one.delete(1, 3), other.delete(2, 3)]
    one.apply(deletions[1])
    other.apply(deletions[0])
    assert one.value == other.value == "af"
    assert one == other


def test_an_operation_is_applied_once_and_after_its_past():
    one, operations = typed("a", "abc")
    other = Text("b")
    with pytest.raises(CausalityError):
        other.apply(operations[1])
    assert other.value == ""
    assert [other.apply(each) for each in operations] == [True] * 3
    assert [other.apply(each) for each in operations] == [False] * 3
    assert one == other


def text_commands(text):
    inserts = st.tuples(st.integers(0, len(text)), st.sampled_from(["a", "b", "cd", "efg"])).map(
        lambda args: ("insert", args)
    )
    deletes = st.tuples(st.integers(0, len(text)), st.integers(1, 3)).map(lambda args: ("delete", args))
    return st.one_of(inserts, inserts, deletes, st.just(("clear", ())))


def test_the_order_is_a_pure_function_of_the_operations_seen():
    check_convergence(
        Text, text_commands, specification=lambda history: "".join(elements(history)), max_examples=50, max_steps=50
    )


# In a map


def script(edits):
    """Returns a function that carries out edits on a text, as far as they fit it."""

    def change(text):
        for method, at, content in edits:
            if method == "insert":
                text.insert(min(at, len(text)), content)
            elif method == "delete" and len(text):
                text.delete(min(at, len(text) - 1))
            elif method == "clear":
                text.clear()

    change.__name__ = change.__qualname__ = repr(edits)
    return change


edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "insert", "insert", "delete", "clear"]),
        st.integers(0, 5),
        st.sampled_from(["x", "yz"]),
    ),
    min_size=1,
    max_size=3,
)
map_commands = st.one_of(
    edits.map(lambda each: ("update", ("k", Text, script(each)))),
    edits.map(lambda each: ("update", ("k", Text, script(each)))),
    st.sampled_from([("remove", ("k",)), ("clear", ())]),
)


def test_in_a_map_too_the_order_is_a_pure_function_of_the_operations_seen():
    def specification(history):
        return lambda value: value.get("k", "") == "".join(elements(history))

    check_convergence(ORMap, map_commands, specification=specification, max_examples=50, max_steps=50)


def test_several_insertions_in_one_update_of_a_map_are_one_operation():
    one, other = ORMap("a"), ORMap("b")

    def change(text):
        text.insert(0, "a")
        text.insert(1, "bc")
        text.insert(1, "-")
        text.delete(0)

    assert other.apply(Operation.from_bytes(one.update("k", Text, change).to_bytes()))
    assert one["k"] == other["k"] == "-bc"
    assert ORMap.from_bytes(one.to_bytes(), "c") == one == other


def test_a_removed_key_keeps_what_was_typed_concurrently_and_nothing_else():
    one, other = ORMap("a"), ORMap("b")
    other.apply(one.update("k", Text, lambda text: text.insert(0, "old text")))
    removal = one.remove("k")
    typing = [
        other.update("k", Text, lambda text: text.insert(3, "new")),
        other.update("k", Text, lambda text: text.insert(6, "!")),
    ]
    other.apply(removal)
    for operation in typing:
        one.apply(operation)
    assert one == other
    assert one["k"] == "new!"
    assert len(one.to_bytes()) < 60


def test_a_join_forgets_what_a_removal_there_had_seen_of_a_run_and_keeps_the_rest():
    one, other, third = ORMap("a"), ORMap("b"), ORMap("c")
    typing = [one.update("k", Text, lambda text, edit=edit: text.insert(*edit)) for edit in enumerate("xyz")]
    assert [length for _, length in runs(one._entries["k"]["Text"].value)] == [3]
    other.apply(typing[0])
    removal = other.remove("k")
    third.apply(typing[0])
    third.apply(removal)
    third.apply(typing[1])
    one.update("l", Text, lambda text: text.insert(0, "!"))
    one.merge(third)
    third.merge(one)
    assert one.value == third.value == {"k": "yz", "l": "!"}
    assert one == third


# Clearing and forgetting


def test_clear_deletes_what_was_seen_and_nothing_concurrent():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "ac"))
    cleared, inserted = one.clear(), other.insert(1, "b")
    one.apply(inserted)
    other.apply(cleared)
    assert one.value == other.value == "b"
    assert one == other


def test_what_is_deleted_and_stable_is_forgotten_and_the_rest_is_few_runs():
    text, _ = typed("a", "some words to be cut")
    text.delete(5, 6)
    text.insert(5, "X")
    text.stabilize(VersionVector({"a": 20}))
    assert text.value == "some Xto be cut"
    assert [content for content, _ in runs(text)] == ["some ", None, "X", "to be cut"]
    text.stabilize(text.version)
    assert runs(text) == [("some ", 5), ("X", 1), ("to be cut", 9)]


def test_a_run_that_is_stable_in_part_is_settled_in_part():
    text, _ = typed("a", "abcdef")
    for index in (5, 4, 3):
        text.delete(index)
    size = len(text.to_bytes())
    text.stabilize(VersionVector({"a": 8}))
    assert text.value == "abc"
    assert runs(text) == [("abc", 3), (None, 1)]
    assert len(text.to_bytes()) < size


def test_an_insertion_beside_what_others_have_forgotten_finds_its_place():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "abc"))
    deletion = one.delete(1)
    other.apply(deletion)
    one.stabilize(one.version)
    assert one.apply(other.insert(1, "X"))
    other.apply(one.insert(1, "Y"))
    assert one.value == other.value == "aYXc"
    other.stabilize(one.version)
    assert one == other


def test_a_join_takes_in_deletions_and_what_either_has_forgotten():
    one, other = Text("a"), Text("b")
    other.apply(one.insert(0, "shared text"))
    one.apply(other.delete(0, 7))
    other.stabilize(VersionVector({"a": 1, "b": 1}))
    one.insert(4, "!")
    other.insert(0, "A ")
    joined = one.copy("c")
    joined.merge(other)
    other.merge(one)
    assert joined.value == other.value == "A text!"
    assert joined == other


def test_states_that_were_declared_stable_too_early_still_join():
    one, other = Text("a"), Text("b")
    one.insert(0, "stable")
    one.delete(5)
    one.stabilize(VersionVector({"a": 1}))
    other.insert(0, "news ")
    joined = [one.copy("c"), other.copy("c")]
    joined[0].merge(other)
    joined[1].merge(one)
    assert joined[0].value == joined[1].value == "news stabl"


# Copies that were handed out


def test_what_was_done_to_a_copy_is_adopted_where_it_was_done():
    text = Text("a")
    text.insert(0, "one two")
    copy = text.copy()
    done = [copy.insert(3, " and"), copy.delete(8, 3), copy.insert(8, "three")]
    text.insert(0, "> ")
    adopted = text.adopt(done)
    other = Text("b")
    other.merge(text)
    assert text.value == "> one and three"
    assert [each.counter for each in adopted] == [3, 4, 5]
    assert other == text


def test_what_a_copy_typed_beside_something_deleted_since_is_hung_on_a_neighbour():
    text, other = Text("a"), Text("b")
    first = text.insert(0, "abc")
    other.apply(first)
    copy = text.copy()
    typing = [copy.insert(2, "X"), copy.insert(3, "Y")]
    deletion = text.delete(1)
    other.apply(deletion)
    other.stabilize(other.version)
    for operation in text.adopt(typing, seen=other.version):
        other.apply(Operation.from_bytes(operation.to_bytes()))
    assert text.value == other.value == "aXYc"
    assert text == other


def test_what_a_copy_typed_beside_something_deleted_at_the_end_is_hung_on_what_it_had_seen():
    text, other = Text("a"), Text("b")
    other.apply(text.insert(0, "abcd"))
    copy = text.copy()
    typing = [copy.insert(4, "X")]
    strange = other.insert(2, "?")
    text.delete(2, 2)
    text.insert(2, "!")
    text.apply(strange)
    adopted = text.adopt(typing)
    other.merge(text)
    assert adopted[0].argument == ("X", 1, 1, 1)
    assert text.value == other.value
    assert sorted(text.value) == sorted("ab?!X")


def test_operations_of_a_copy_on_what_others_have_typed_are_adopted():
    text, other = Text("a"), Text("b")
    text.apply(other.insert(0, "abcdef"))
    copy = text.copy()
    done = [copy.insert(3, "-"), copy.delete(0, 2)]
    text.insert(6, "!")
    adopted = text.adopt(done)
    assert text.value == "c-def!"
    assert [each.argument for each in adopted] == [("-", 0, 1, 3, "b"), ((1, 0, 2, "b"),)]


def test_what_a_copy_typed_beside_something_forgotten_since_is_hung_near_it():
    text = Text("a")
    text.insert(0, "--")
    for index, character in enumerate("abc"):
        text.insert(index, character)
    copy = text.copy()
    typing = [copy.insert(3, "X")]
    text.delete(2)
    text.stabilize(text.version)
    text.adopt(typing)
    assert text.value == "abX--"


def test_what_a_copy_typed_beside_what_others_have_deleted_since_is_hung_on_a_neighbour():
    text, other = Text("a"), Text("b")
    other.apply(text.insert(0, "abc"))
    copy = text.copy()
    typing = [copy.insert(3, "X")]
    text.apply(other.delete(2))
    text.stabilize(text.version)
    assert text.adopt([]) == []
    other.apply(*text.adopt(typing))
    assert text.value == other.value == "abX"
    assert text == other


def test_what_a_copy_typed_into_a_text_that_was_emptied_is_hung_on_the_start():
    text = Text("a")
    text.insert(0, "abc")
    copy = text.copy()
    typing = [copy.insert(1, "X"), copy.clear()]
    text.clear()
    text.stabilize(text.version)
    text.adopt(typing[:1])
    assert text.value == "X"
    again = text.copy()
    cleared = again.clear()
    text.insert(1, "Y")
    text.adopt([cleared])
    assert text.value == "Y"


def test_deletions_of_what_was_typed_before_and_after_the_copy_was_made_are_adopted():
    text, _ = typed("a", "abc")
    copy = text.copy()
    done = [copy.insert(3, "d"), copy.insert(4, "e"), copy.delete(1, 4)]
    text.insert(0, "-")
    adopted = text.adopt(done)
    assert text.value == "-a"
    assert adopted[-1].argument == ((2, 2), (5, 2))


# Bytes


@pytest.mark.parametrize(
    "argument",
    [
        None, (), ("x",), ("", 1), (b"x", 1), ("x", -1), ("x", 0), ("x", 1.0), ("x", 2**34 + 1), ("x", 1, 0, 0, ""),
        ("x", 1, 2**63), ("x", 1, 1, 2**32), ("x", 1, 1, 0, 7), ("x", 1, 1, 0, "b", 1), ["x", 1],
    ],
)  # fmt: skip
def test_a_malformed_insertion_is_refused(argument):
    text = Text("b")
    with pytest.raises(MalformedOperationError):
        text.apply(Operation("a", 1, VersionVector(), "Text", "insert", argument))
    assert text.version == {}


@pytest.mark.parametrize(
    "argument",
    [
        None, (), (1,), ((1,),), ((0, 1),), ((1, 0),), ((1, 2**63),), ((1, 0, 2**32),), ((1, 0, 1, 1),), (("a", 1),),
        ((1, 1, ""),), ((1, "b"),), ((1, 0, 1, "b", 1),), ((1, True),), ((1.0, 1),),
    ],
)  # fmt: skip
def test_a_malformed_deletion_is_refused(argument):
    text = Text("b")
    with pytest.raises(MalformedOperationError):
        text.apply(Operation("a", 1, VersionVector(), "Text", "delete", argument))
    assert text.version == {}


def test_an_operation_that_names_what_it_cannot_have_seen_does_the_same_everywhere():
    text = Text("b")
    text.apply(Operation("a", 1, VersionVector(), "Text", "insert", ("x", 1)))
    text.apply(Operation("a", 2, VersionVector(), "Text", "insert", ("y", 1, 2, 0)))
    text.apply(Operation("a", 3, VersionVector(), "Text", "insert", ("z", 0, 5, 0, "c")))
    text.apply(Operation("a", 4, VersionVector(), "Text", "delete", ((5, 7, "c"), (1, 3, 1), (2, 0, 9), (1, 2**62))))
    assert text.value == "zyx"
    assert Text.from_bytes(text.to_bytes(), "c") == text


def test_neighbours_with_consecutive_dots_that_do_not_hang_on_each_other_stay_apart():
    text, other = Text("c"), Text("d")
    before = VersionVector({"b": 1})
    operations = [
        Operation("b", 1, VersionVector(), "Text", "insert", ("|", 1)),
        Operation("a", 1, before, "Text", "insert", ("x", 0, 1, 0, "b")),
        Operation("a", 2, before, "Text", "insert", ("y", 0, 1, 0, "b")),
        Operation("a", 3, before, "Text", "delete", ((1, 2),)),
    ]
    for operation in operations:
        text.apply(operation)
    for operation in operations[:3]:
        other.apply(operation)
    assert other.value == "xy|"
    assert text.value == "|"
    assert runs(text) == [(None, 1), (None, 1), ("|", 1)]
    between = other.insert(1, "-")
    text.apply(between)
    assert text.value == "-|"
    assert Text.from_bytes(text.to_bytes(), "e") == text


def test_a_claimed_length_costs_nothing():
    text = Text("b")
    text.apply(Operation("a", 1, VersionVector(), "Text", "insert", ("x", 1)))
    text.apply(Operation("a", 2, VersionVector(), "Text", "insert", ("yz", 1)))
    tracemalloc.start()
    started = perf_counter()
    text.apply(Operation("a", 3, VersionVector(), "Text", "delete", ((1, 1), (2, 0, 2**31))))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert perf_counter() - started < 1
    assert text.value == ""
