import math
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.lwm2m.value import BadValueError, DataType, from_json, to_json

VALUES = {
    DataType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    DataType.UNSIGNED_INTEGER: st.integers(0, 2**64 - 1),
    DataType.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    DataType.STRING: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    DataType.BOOLEAN: st.booleans(),
    DataType.TIME: st.integers(-62135596800000, 253402300799999).map(lambda ms: from_json(DataType.TIME, ms)),
    DataType.OPAQUE: st.binary(),
    DataType.OBJLNK: st.builds("{}:{}".format, st.integers(0, 65535), st.integers(0, 65535)),
    DataType.CORELINK: st.just('</3/0>;ver="1.1"'),
}


@pytest.mark.parametrize("data_type", DataType)
def test_a_value_reads_back_as_leshan_writes_it(data_type: DataType) -> None:
    @given(VALUES[data_type])
    def check(value: Any) -> None:
        assert from_json(data_type, to_json(data_type, value)) == value

    check()


@pytest.mark.parametrize(
    ("data_type", "raw", "value"),
    [
        (DataType.INTEGER, "12", 12),
        (DataType.INTEGER, 12, 12),
        (DataType.UNSIGNED_INTEGER, "18446744073709551615", 2**64 - 1),
        (DataType.FLOAT, "24.899181214836236", 24.899181214836236),
        (DataType.FLOAT, 3, 3.0),
        (DataType.BOOLEAN, "true", True),
        # Epoch milliseconds need more than 32 bits.
        (DataType.TIME, 1795344335807, datetime(2026, 11, 22, 10, 45, 35, 807000, UTC)),
        (DataType.TIME, 2000, datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)),
        (DataType.OPAQUE, "00ff", b"\x00\xff"),
        (DataType.OBJLNK, {"objectId": 3, "objectInstanceId": 0}, "3:0"),
    ],
)
def test_values_as_leshan_and_the_documents_write_them(
    data_type: DataType, raw: object, value: object
) -> None:
    assert from_json(data_type, raw) == value


@pytest.mark.parametrize(
    ("data_type", "raw"),
    [
        (DataType.INTEGER, "1.0"),
        (DataType.INTEGER, True),
        (DataType.INTEGER, str(2**63)),
        (DataType.INTEGER, "9" * 5000),
        (DataType.INTEGER, None),
        (DataType.UNSIGNED_INTEGER, str(2**64)),
        (DataType.UNSIGNED_INTEGER, -1),
        (DataType.FLOAT, "nan"),
        (DataType.FLOAT, "inf"),
        (DataType.FLOAT, "1e400"),
        (DataType.FLOAT, math.inf),
        (DataType.FLOAT, 10**400),
        (DataType.FLOAT, "warm"),
        (DataType.FLOAT, False),
        (DataType.STRING, "a\0b"),
        (DataType.STRING, 5),
        (DataType.BOOLEAN, 1),
        (DataType.TIME, 300000 * 31556952000),
        (DataType.TIME, "yesterday"),
        (DataType.OPAQUE, "0"),
        (DataType.OPAQUE, b""),
        (DataType.OBJLNK, {"objectId": 3}),
        (DataType.OBJLNK, "70000:0"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused_with_both(data_type: DataType, raw: object) -> None:
    with pytest.raises(BadValueError, match=data_type):
        from_json(data_type, raw)


@pytest.mark.parametrize(("raw", "written"), [(True, "true"), (None, "null"), ("warm\0", r'"warm\u0000"')])
def test_a_value_that_does_not_fit_is_shown_as_it_was_sent(raw: object, written: str) -> None:
    with pytest.raises(BadValueError, match=f"^{re.escape(written)} is not TIME: "):
        from_json(DataType.TIME, raw)
