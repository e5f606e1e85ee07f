import math
import re
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.lwm2m.value import BadValueError, DataType, converted, from_json, to_json

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
    right = "epoch milliseconds, a whole number such as 1795344335807"
    with pytest.raises(BadValueError, match=f"^{re.escape(written)} is not TIME: {right}$"):
        from_json(DataType.TIME, raw)


# Values of another type than the model's

_YEAR_2026 = datetime(2026, 11, 22, 10, 45, 35, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "given_type", "value", "result"),
    [
        (DataType.INTEGER, DataType.UNSIGNED_INTEGER, 2**63 - 1, 2**63 - 1),
        (DataType.INTEGER, DataType.FLOAT, -3.0, -3),
        (DataType.INTEGER, DataType.STRING, "-42", -42),
        (DataType.INTEGER, DataType.OPAQUE, b"\xff", -1),
        (DataType.INTEGER, DataType.OPAQUE, b"\x01\x00", 256),
        (DataType.UNSIGNED_INTEGER, DataType.INTEGER, 5, 5),
        (DataType.UNSIGNED_INTEGER, DataType.FLOAT, 2.0**63, 2**63),
        (DataType.UNSIGNED_INTEGER, DataType.OPAQUE, b"\xff", 255),
        (DataType.UNSIGNED_INTEGER, DataType.OPAQUE, b"\xff" * 8, 2**64 - 1),
        (DataType.FLOAT, DataType.INTEGER, 24, 24.0),
        (DataType.FLOAT, DataType.UNSIGNED_INTEGER, 2**63, 2.0**63),
        (DataType.FLOAT, DataType.STRING, "24.5", 24.5),
        (DataType.FLOAT, DataType.STRING, "-1e3", -1000.0),
        (DataType.FLOAT, DataType.OPAQUE, bytes.fromhex("41c40000"), 24.5),
        (DataType.FLOAT, DataType.OPAQUE, bytes.fromhex("4038800000000000"), 24.5),
        (DataType.STRING, DataType.OPAQUE, "21 °C".encode(), "21 °C"),
        (DataType.STRING, DataType.INTEGER, -7, "-7"),
        (DataType.STRING, DataType.CORELINK, "</3/0>", "</3/0>"),
        (DataType.CORELINK, DataType.STRING, "</3/0>", "</3/0>"),
        (DataType.CORELINK, DataType.OPAQUE, b"</3/0>", "</3/0>"),
        (DataType.BOOLEAN, DataType.OPAQUE, b"\x01", True),
        (DataType.BOOLEAN, DataType.INTEGER, 0, False),
        (DataType.BOOLEAN, DataType.FLOAT, 1.0, True),
        (DataType.BOOLEAN, DataType.STRING, "1", True),
        (DataType.BOOLEAN, DataType.STRING, "false", False),
        (DataType.TIME, DataType.INTEGER, 1795344335, _YEAR_2026),
        (DataType.TIME, DataType.FLOAT, 1795344335.0, _YEAR_2026),
        (DataType.TIME, DataType.OPAQUE, (1795344335).to_bytes(4, "big"), _YEAR_2026),
        (DataType.TIME, DataType.STRING, "1795344335", _YEAR_2026),
        (DataType.OBJLNK, DataType.OPAQUE, b"\x00\x03\xff\xff", "3:65535"),
        (DataType.OBJLNK, DataType.STRING, "3:0", "3:0"),
    ],
)
def test_a_value_of_another_type_is_converted(
    wanted: DataType, given_type: DataType, value: Any, result: object
) -> None:
    found = converted(wanted, given_type, value)
    assert (type(found), found) == (type(result), result)


@pytest.mark.parametrize(
    ("wanted", "given_type", "value"),
    [
        (DataType.INTEGER, DataType.UNSIGNED_INTEGER, 2**63),
        (DataType.INTEGER, DataType.FLOAT, 1.5),
        (DataType.INTEGER, DataType.FLOAT, 1e300),
        (DataType.INTEGER, DataType.STRING, "1.0"),
        (DataType.INTEGER, DataType.STRING, "9" * 5000),
        (DataType.INTEGER, DataType.OPAQUE, b"\0\0\0"),
        (DataType.INTEGER, DataType.OPAQUE, b""),
        (DataType.INTEGER, DataType.TIME, _YEAR_2026),
        (DataType.INTEGER, DataType.BOOLEAN, True),
        (DataType.UNSIGNED_INTEGER, DataType.INTEGER, -1),
        (DataType.FLOAT, DataType.INTEGER, 2**53 + 1),
        (DataType.FLOAT, DataType.STRING, "9007199254740993"),
        (DataType.FLOAT, DataType.STRING, "nan"),
        (DataType.FLOAT, DataType.STRING, "1e999"),
        (DataType.FLOAT, DataType.STRING, "1_0"),
        (DataType.FLOAT, DataType.STRING, " 1"),
        (DataType.FLOAT, DataType.OPAQUE, bytes.fromhex("7fc00000")),
        (DataType.FLOAT, DataType.OPAQUE, bytes.fromhex("7ff0000000000000")),
        (DataType.FLOAT, DataType.OPAQUE, b"\0\1"),
        (DataType.STRING, DataType.OPAQUE, b"\xff"),
        (DataType.STRING, DataType.OPAQUE, b"a\0"),
        (DataType.STRING, DataType.FLOAT, 1.1),
        (DataType.BOOLEAN, DataType.INTEGER, 2),
        (DataType.BOOLEAN, DataType.OPAQUE, b"\0\1"),
        (DataType.BOOLEAN, DataType.STRING, "yes"),
        (DataType.TIME, DataType.INTEGER, 1795344335000),  # milliseconds
        (DataType.TIME, DataType.FLOAT, 0.5),
        (DataType.OPAQUE, DataType.STRING, "00ff"),
        (DataType.OPAQUE, DataType.INTEGER, 1),
        (DataType.OBJLNK, DataType.OPAQUE, b"\0\3"),
        (DataType.OBJLNK, DataType.STRING, "70000:0"),
        (DataType.OBJLNK, DataType.INTEGER, 3),
        (DataType.CORELINK, DataType.INTEGER, 3),
    ],
)
def test_a_value_that_the_type_cannot_hold_is_refused_with_both_types(
    wanted: DataType, given_type: DataType, value: Any
) -> None:
    with pytest.raises(
        BadValueError, match=f"of the type {given_type} is not {wanted}, the type in the .*: "
    ):
        converted(wanted, given_type, value)


@pytest.mark.parametrize("wanted", DataType)
@pytest.mark.parametrize("given_type", DataType)
def test_a_conversion_gives_a_value_of_the_wanted_type_that_loses_nothing(
    wanted: DataType, given_type: DataType
) -> None:
    @given(VALUES[given_type])
    def check(value: Any) -> None:
        try:
            result = converted(wanted, given_type, value)
        except BadValueError:
            return
        assert from_json(wanted, to_json(wanted, result)) == result
        if isinstance(value, int | float) and isinstance(result, int | float):
            assert result == value

    if wanted is not given_type:
        check()


@given(VALUES[DataType.FLOAT], VALUES[DataType.INTEGER], VALUES[DataType.UNSIGNED_INTEGER])
def test_tlvs_bytes_are_read_as_the_numbers_they_were(number: float, signed: int, unsigned: int) -> None:
    assert converted(DataType.FLOAT, DataType.OPAQUE, struct.pack(">d", number)) == number
    assert converted(DataType.INTEGER, DataType.OPAQUE, struct.pack(">q", signed)) == signed
    assert converted(DataType.UNSIGNED_INTEGER, DataType.OPAQUE, struct.pack(">Q", unsigned)) == unsigned
