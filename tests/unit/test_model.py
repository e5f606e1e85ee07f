"""The XML of object models, as anybody may send it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownexus.lwm2m.model import (
    MAX_XML_BYTES,
    BadModelError,
    ObjectModel,
    ResourceModel,
    parse_models,
)
from flownexus.lwm2m.value import DataType
from flownexus.lwm2m.value_range import parse_range

KILN = """<?xml version="1.0" encoding="UTF-8"?>
<LWM2M>
  <Object ObjectType="MODefinition">
    <Name>Kiln</Name>
    <Description1><![CDATA[Burns <bricks>.]]></Description1>
    <ObjectID>33456</ObjectID>
    <ObjectURN>urn:oma:lwm2m:x:33456:1.1</ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>1.1</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="0">
        <Name>Heat</Name>
        <Operations>RW</Operations>
        <MultipleInstances>Single</MultipleInstances>
        <Mandatory>Mandatory</Mandatory>
        <Type>Float</Type>
        <RangeEnumeration>0..1800.5</RangeEnumeration>
        <Units>Cel</Units>
        <Description>How hot it is to be.</Description>
      </Item>
      <Item ID="1">
        <Name>Quench</Name>
        <Operations>E</Operations>
        <Type></Type>
        <RangeEnumeration></RangeEnumeration>
        <Units></Units>
        <Description/>
      </Item>
    </Resources>
    <Description2/>
  </Object>
</LWM2M>
"""


def parse(text: str) -> list[ObjectModel]:
    return parse_models(text.encode())


def test_an_object_is_read_with_its_version_and_resources() -> None:
    assert parse(KILN) == [
        ObjectModel(
            object_id=33456,
            version="1.1",
            name="Kiln",
            resources=(
                ResourceModel(
                    id=0,
                    name="Heat",
                    operations="RW",
                    mandatory=True,
                    data_type=DataType.FLOAT,
                    range="0..1800.5",
                    units="Cel",
                ),
                ResourceModel(id=1, name="Quench", operations="E"),
            ),
        )
    ]


def test_an_object_without_a_version_has_1_0() -> None:
    assert parse(KILN.replace("<ObjectVersion>1.1</ObjectVersion>", ""))[0].version == "1.0"


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        (">33456<", ">70000<", "line 6: ObjectID '70000' is not a number from 0 to 65534"),
        ("<Type>Float", "<Type>Double", "line 18: Type 'Double' is not one of Integer, Unsigned Integer"),
        ("<Type>Float", "<Type>", "line 18: the Type is empty, which only a resource has that is executed"),
        (">RW<", ">RWX<", "line 15: Operations 'RWX' is not one of R, W, RW, E, or empty"),
        ('ID="1"', 'ID="0"', "line 23: resource 0 is there twice"),
        ('ID="1"', 'Id="1"', "line 23: Item ID '' is not a number from 0 to 65534"),
        ("ObjectVersion>1.1", "ObjectVersion>one", "line 9: ObjectVersion 'one' is not such as 1.0"),
        (">Multiple<", ">Many<", "line 10: MultipleInstances 'Many' is not Multiple or Single"),
        ("<Name>Heat</Name>", "", "line 13: the <Item> has no <Name>"),
        ("LWM2M>", "LwM2M>", "line 2: the root element is <LWM2M>, not <LwM2M>"),
        ("Object>", "Thing>", "line 2: <LWM2M> has no <Object>"),
        ("</Item>", "", "it is no XML: mismatched tag"),
        ("<Name>Heat", "<Name>&heat;", "line 14: it is no XML: undefined entity"),
    ],
)
def test_what_is_no_model_is_refused_with_its_line_and_what_is_right(
    old: str, new: str, refusal: str
) -> None:
    text = KILN.replace(old, new)
    if old == "Object>":
        text = text.replace("<Object O", "<Thing O")
    with pytest.raises(BadModelError) as error:
        parse(text)
    assert refusal in str(error.value)


@pytest.mark.parametrize("declared", ["ISO-8859-1", "windows-1252", "US-ASCII", "UTF-16", "klingon"])
def test_a_file_in_utf_8_is_read_so_although_it_declares_another_encoding(declared: str) -> None:
    """As an editor leaves it that saved the file in UTF-8."""
    [model] = parse(KILN.replace("UTF-8", declared).replace("Kiln", "Kalkbrennöfen"))
    assert model.name == "Kalkbrennöfen"


BILLION_LAUGHS = (
    '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]>\n<LWM2M>&lol9;</LWM2M>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>\n<LWM2M>&secret;</LWM2M>'
PARAMETER = '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/evil.dtd">\n<LWM2M/>'


@pytest.mark.parametrize("attack", [BILLION_LAUGHS, OUTSIDE, PARAMETER])
def test_entities_are_neither_expanded_nor_fetched(attack: str) -> None:
    began = time.process_time()
    with pytest.raises(BadModelError, match=r"leave <!DOCTYPE> out"):
        parse(attack)
    assert time.process_time() - began < 0.5


def test_a_file_beyond_all_sense_is_refused() -> None:
    with pytest.raises(BadModelError, match=f"at most {MAX_XML_BYTES} are taken"):
        parse_models(b" " * (MAX_XML_BYTES + 1))
    with pytest.raises(BadModelError, match="elements stand more than 16 deep"):
        parse("<a>" * 100_000)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"<LWM2M>{text}</LWM2M>".encode()))
def test_whatever_comes_is_a_model_or_refused(xml: bytes) -> None:
    with pytest.raises(BadModelError, match=r"^line [0-9]+: "):
        parse_models(xml)


@pytest.mark.parametrize(
    "text",
    [None, "", "8 bit", "64", "ON;OFF", "10 or 26 Bytes", "<7 to >12.5", "2 Instances", "[1:4]", "-30..-120"],
)
def test_a_range_that_says_nothing_sure_restricts_nothing(text: str | None) -> None:
    assert parse_range(text) is None


@given(st.text(max_size=60))
def test_any_text_may_stand_for_a_range(text: str) -> None:
    found = parse_range(text)
    if found is not None:
        found.wrong(DataType.INTEGER, 7)
        found.wrong(DataType.STRING, "text")


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_a_number_is_within_a_range_just_where_it_lies_between_its_ends(a: int, b: int, value: int) -> None:
    least, greatest = sorted((a, b))
    found = parse_range(f"{least}..{greatest}")
    assert found is not None
    assert (found.wrong(DataType.INTEGER, value) is None) == (least <= value <= greatest)
