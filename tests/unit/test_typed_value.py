"""Values that are to be written, with their data types."""

import pytest

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.value import DataType
from flownexus.lwm2m.value_range import parse_range
from flownexus.operations.known_resource import KnownResource, ModelOfResource
from flownexus.operations.typed_value import typed_value


def seen(data_type: DataType) -> KnownResource:
    return KnownResource(data_type)


def modelled(data_type: DataType, range_: str | None = None) -> KnownResource:
    return KnownResource(data_type, ModelOfResource("1.0", "Dimmer", "RW", parse_range(range_)))


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
        model = modelled(DataType.INTEGER)
        with pytest.raises(
            ValidationFailedError,
            match="value: the type is INTEGER, as the object's model has it, not STRING",
        ):
            typed_value(value, model)
        assert typed_value(value, seen(DataType.INTEGER))["type"] == "STRING"
        assert typed_value(1, model) == {"type": "INTEGER", "value": "1"}

    @pytest.mark.parametrize(
        ("data_type", "range_", "value", "wrong"),
        [
            (DataType.INTEGER, "0..100", 101, "101 is out of range: 0..100"),
            (DataType.INTEGER, "0..100", {"type": "INTEGER", "value": -1}, "-1 is out of range: 0..100"),
            (DataType.FLOAT, "0; 3.8..20.5", 3.7, "3.7 is out of range: 0; 3.8..20.5"),
            (DataType.INTEGER, "0: off\n1: on", 2, "2 is out of range: 0: off; 1: on"),
            (DataType.STRING, "1..4 bytes", "Käse", "it has 5 bytes: 1..4 bytes"),
            (DataType.OPAQUE, "0..2 bytes", "abcdef", "it has 3 bytes: 0..2 bytes"),
            (
                DataType.INTEGER,
                "0..100",
                {"type": "INTEGER", "values": {"0": 7, "1": 700}},
                "700 is out of range: 0..100",
            ),
        ],
    )
    def test_a_value_out_of_the_model_s_range_is_refused_with_the_range(
        self, data_type: DataType, range_: str, value: object, wrong: str
    ) -> None:
        with pytest.raises(ValidationFailedError) as refusal:
            typed_value(value, modelled(data_type, range_))
        assert refusal.value.detail == f"value: {wrong}, as the object's model has it"

    @pytest.mark.parametrize(
        ("data_type", "range_", "value"),
        [
            (DataType.INTEGER, "0..100", 100),
            (DataType.FLOAT, "0; 3.8..20.5", 0),
            (DataType.STRING, "0..255", "a text whose model does not say bytes"),
            (DataType.INTEGER, "255", 256),
            (DataType.INTEGER, "8 bit", 256),
        ],
    )
    def test_a_value_within_the_range_or_of_a_range_that_says_nothing_sure_is_taken(
        self, data_type: DataType, range_: str, value: object
    ) -> None:
        assert typed_value(value, modelled(data_type, range_))["type"] == data_type
