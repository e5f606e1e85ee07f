import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.lwm2m.path import BadPathError, Path

ids = st.integers(0, 65534)


@given(st.lists(ids, min_size=1, max_size=4))
def test_a_path_reads_back_as_it_was_written(parts: list[int]) -> None:
    path = Path(*parts)
    assert Path.parse(str(path)) == path
    assert Path.parse(str(path)[1:]) == path
    assert path.ids == tuple(parts)
    assert path.depth == len(parts)


@pytest.mark.parametrize(
    "text",
    ["", "/", "//", "/3//0", "/3/0/15/0/1", "/x", "/-1", "/3/0/65535", "/70000", "/٣", "/3/0 ", "3303.0"],
)
def test_what_is_no_path_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(BadPathError, match=r"path|outside"):
        Path.parse(text)
