"""What Leshan's answers can hold."""

from flownexus.leshan.client import storable


def test_nul_characters_do_not_reach_the_database() -> None:
    assert storable({"a\0": ["b\0", 1, None, {"c": "\0"}]}) == {"a�": ["b�", 1, None, {"c": "�"}]}
