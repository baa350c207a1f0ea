import msgspec
import pytest

from crdts import MalformedOperationError
from crdts.wire import check_replica_id, decode, decode_integer, encode, encode_integer, plain


@pytest.mark.parametrize("number", [0, 1, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**126, -(2**126)])
def test_integers_of_any_size_survive(number):
    assert decode_integer(encode_integer(number)) == number


@pytest.mark.parametrize("form", [2**63, b"", b"\x01", bytes(17), bytes(9), "1", None, 1.0, True])
def test_integers_have_one_form(form):
    with pytest.raises(MalformedOperationError, match="integer"):
        decode_integer(form)


def test_lists_come_out_as_tuples():
    assert plain([1, [2, {"a": [3]}], {"b": [4], "c": 5}]) == (1, (2, {"a": (3,)}), {"b": (4,), "c": 5})


@pytest.mark.parametrize("replica_id", ["", "a" * 256, b"a", 1, None])
def test_a_replica_id_is_text_of_limited_length(replica_id):
    with pytest.raises(MalformedOperationError, match="replica id"):
        check_replica_id(replica_id)


def test_text_that_is_not_utf8_is_malformed():
    decoder = msgspec.msgpack.Decoder(str)

    assert decode(decoder, encode("ä")) == "ä"
    with pytest.raises(MalformedOperationError):
        decode(decoder, b"\xa1\xff")
