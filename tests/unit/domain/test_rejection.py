"""Rejections carry their reasons."""

import copy
import pickle

import pytest

from calliope import CalliopeError
from calliope.domain import CommandExpiredError, ConflictError, Rejection
from tests.unit.domain.accounts import Overdraft


def test_a_rejection_has_reasons_and_reads_as_they_do():
    rejection = Rejection("it is empty", "it is late")
    assert rejection.reasons == ("it is empty", "it is late")
    assert str(rejection) == "it is empty; it is late"


def test_a_rejection_without_a_reason_is_none():
    with pytest.raises(ValueError, match="needs a reason"):
        Rejection()
    with pytest.raises(TypeError, match="a reason must be a str, not 7"):
        Rejection("it is late", 7)


@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_rejection_can_be_copied_and_sent(copied):
    again = copied(Overdraft("the balance is 2"))
    assert (type(again), again.reasons) == (Overdraft, ("the balance is 2",))


def test_what_the_domain_refuses_is_no_error_of_the_library():
    assert not issubclass(Rejection, CalliopeError)
    assert issubclass(ConflictError, CalliopeError)
    assert issubclass(CommandExpiredError, CalliopeError)
