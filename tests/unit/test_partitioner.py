"""The partition of a user is the one that Kafka's Java clients choose."""

import sys

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_schemas.partitioner import _fastest, murmur2, murmur2_in_python, partition_of


# From Kafka's own UtilsTest.testMurmur2, as Java's signed int.
GOLDEN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), GOLDEN.items())
def test_golden_vectors(key: bytes, signed: int) -> None:
    """Both hashes give Java's values."""
    assert signed & 0xFFFFFFFF == murmur2(key)
    assert signed & 0xFFFFFFFF == murmur2_in_python(key)


@given(key=st.binary(max_size=70))
def test_all_implementations_agree(key: bytes) -> None:
    """The C library, the pure fallback and aiokafka hash alike, whatever the length."""
    assert aiokafka_murmur2(key) == murmur2_in_python(key) == murmur2(key)


def test_negative_hashes_become_positive_as_in_java() -> None:
    """`toPositive` clears the sign bit, it does not negate."""
    assert (-973932308 & 0x7FFFFFFF) % 12 == partition_of(b"21", 12)
    assert 479470107 % 12 == partition_of(b"abc", 12)


def test_without_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where murmurhash2 is not installed, the pure hash is used."""
    monkeypatch.setitem(sys.modules, "murmurhash2", None)

    assert _fastest() is murmur2_in_python
