"""Texts over time: little is left of what is deleted, and copies that were handed out find their place."""

from crdts import Operation, Text, VersionVector
from tests.unit.crdts.documents import runs, typed

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


def test_what_a_copy_and_the_text_both_have_deleted_is_deleted_once():
    a, b = Text("a"), Text("b")
    b.apply(a.insert(0, "abc"))
    copy = a.copy()
    there = [copy.delete(0, 3)]
    b.apply(a.delete(0, 3))
    for operation in a.adopt(there):
        b.apply(operation)

    assert a == b
    assert a.value == b.value == ""
    assert runs(a) == runs(b) == [(None, 3)]
