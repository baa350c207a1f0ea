from crdts import CausalContext, Dot, VersionVector


def test_dots_that_follow_on_join_the_version():
    context = CausalContext(VersionVector({"a": 1}), [Dot("a", 3), Dot("a", 2), Dot("b", 2)])

    assert context.version == {"a": 3}
    assert context.cloud == {Dot("b", 2)}


def test_it_contains_the_dots_of_version_and_cloud():
    context = CausalContext(VersionVector({"a": 2}), [Dot("a", 4)])

    assert Dot("a", 2) in context
    assert Dot("a", 4) in context
    assert Dot("a", 3) not in context


def test_adding_the_missing_dot_closes_the_gap():
    context = CausalContext(VersionVector({"a": 2}), [Dot("a", 4)])

    assert context.add(Dot("a", 3)) == CausalContext(VersionVector({"a": 4}))
    assert Dot("a", 3) not in context


def test_a_dot_that_is_there_changes_nothing():
    context = CausalContext(VersionVector({"a": 2}), [Dot("a", 4)])

    assert context.add(Dot("a", 1)) == context == context.add(Dot("a", 4))
    assert hash(context.add(Dot("a", 1))) == hash(context)


def test_merge_is_the_union():
    one = CausalContext(VersionVector({"a": 2}), [Dot("b", 2)])
    other = CausalContext(VersionVector({"b": 1}), [Dot("a", 4)])

    assert one.merge(other) == CausalContext(VersionVector({"a": 2, "b": 2}), [Dot("a", 4)]) == other.merge(one)


def test_it_prints_what_it_holds_and_equals_nothing_else():
    context = CausalContext(VersionVector({"a": 1}), [Dot("a", 3)])

    assert repr(context) == ("CausalContext(VersionVector({'a': 1}), [Dot(replica_id='a', counter=3)])")
    assert context != VersionVector({"a": 1})
