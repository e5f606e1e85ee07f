"""Values that are to be written, with their data types."""

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.value import DataType
from flownexus.operations.typed_value import KnownType, typed_value


def seen(data_type: DataType) -> KnownType:
    return KnownType(data_type, by_model=False)


class TestTypedValue:
    def test_numbers_become_leshan_s_strings(self) -> None:
        assert typed_value({"type": "INTEGER", "value": 7}, None) == {"type": "INTEGER", "value": "7"}
        assert typed_value({"type": "FLOAT", "value": "1.5"}, None) == {"type": "FLOAT", "value": "1.5"}

    def test_a_value_alone_has_the_type_that_was_seen(self) -> None:
        assert typed_value("UTC", seen(DataType.STRING)) == {"type": "STRING", "value": "UTC"}
        link = {"objectId": 3, "objectInstanceId": 0}
        assert typed_value(link, seen(DataType.OBJLNK)) == {"type": "OBJLNK", "value": link}

    def test_a_value_alone_without_a_type_seen_is_refused_with_what_helps(self) -> None:
        with pytest.raises(ValidationFailedError, match="write the value as"):
            typed_value("UTC", None)

    def test_a_value_alone_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValidationFailedError, match='value: "warm" is not FLOAT'):
            typed_value("warm", seen(DataType.FLOAT))

    @pytest.mark.parametrize(
        "value", [{"type": "STRING", "value": "1"}, {"type": "STRING", "values": {"0": "1"}}]
    )
    def test_a_type_is_that_of_the_object_s_model(self, value: object) -> None:
        model = KnownType(DataType.INTEGER, by_model=True)
        with pytest.raises(
            ValidationFailedError,
            match="value: the type is INTEGER, as the object's model has it, not STRING",
        ):
            typed_value(value, model)
        assert typed_value(value, seen(DataType.INTEGER))["type"] == "STRING"
        assert typed_value(1, model) == {"type": "INTEGER", "value": "1"}
