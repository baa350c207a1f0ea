import gc
from dataclasses import dataclass

import msgspec
import pytest

from calliope import event
from calliope.event import decorated_classes, definition_of


def test_a_class_that_nobody_decorated_is_stored_under_its_name_at_version_1():
    class Shipped:
        pass

    definition = definition_of(Shipped)
    assert (definition.name, definition.version, definition.aliases) == ("Shipped", 1, ())


def test_the_decorator_names_the_type_its_version_and_its_former_names():
    @event("item-added", version=3, aliases=["ItemAdded", "added"])
    class Anything:
        pass

    definition = definition_of(Anything)
    assert (definition.name, definition.version, definition.aliases) == ("item-added", 3, ("ItemAdded", "added"))


def test_a_single_former_name_needs_no_list():
    @event(aliases="before")
    class After:
        pass

    assert definition_of(After).name == "After"
    assert definition_of(After).aliases == ("before",)


def test_a_subclass_is_stored_under_its_own_name():
    @event("parent", version=2)
    class Parent:
        pass

    class Child(Parent):
        pass

    assert (definition_of(Child).name, definition_of(Child).version) == ("Child", 1)


def test_the_decorator_works_above_and_below_one_that_replaces_the_class():
    @event("above")
    @dataclass(slots=True)
    class Above:
        x: int

    @dataclass(slots=True)
    @event("below")
    class Below:
        x: int

    assert definition_of(Above).name == "above"
    assert definition_of(Below).name == "below"


def test_decorated_classes_are_found_by_each_of_their_names_for_as_long_as_they_live():
    @event("found-by-name", aliases=["found-by-alias"])
    class Found(msgspec.Struct):
        pass

    assert decorated_classes("found-by-name") == decorated_classes("found-by-alias") == {Found}
    del Found
    gc.collect()
    assert decorated_classes("found-by-name") == set()
    assert decorated_classes("never heard of") == set()


def test_of_a_class_that_is_defined_again_the_later_definition_counts():
    def define() -> type:
        @event("defined-again")
        class Again:
            pass

        return Again

    earlier, later = define(), define()
    assert earlier is not later
    assert decorated_classes("defined-again") == {later}


@pytest.mark.parametrize("name", ["", "x" * 257, "ü" * 129, "nul\0", "\ud800"])
def test_an_illegal_name_is_refused(name):
    with pytest.raises(ValueError, match="event name"):
        event(name)
    with pytest.raises(ValueError, match="event alias"):
        event("legal", aliases=[name])


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_out_of_range_is_refused(version):
    with pytest.raises(ValueError, match="event version must be from 1"):
        event("x", version=version)


def test_a_version_that_is_no_int_is_refused():
    with pytest.raises(TypeError, match="event version must be an int, not True"):
        event("x", version=True)


def test_the_decorator_must_be_called_and_decorates_classes_only():
    with pytest.raises(TypeError, match="event name must be a str"):
        event(ItemAdded)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="@event decorates classes, not 5"):
        event("x")(5)  # type: ignore[type-var]


class ItemAdded:
    pass
