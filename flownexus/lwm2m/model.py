"""Object models: what the XML of an object says, in the form of OMA's registry (LWM2M.xsd).

The XML comes from anybody. It is read by expat, which stops at a document type declaration: without one there
are no entities to expand and none to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

import msgspec

from flownexus.lwm2m.path import MAX_ID
from flownexus.lwm2m.value import DataType

MAX_XML_BYTES: Final = 1_000_000
"""The longest file taken; the longest of OMA's registry has 40,000 bytes."""
MAX_RESOURCES: Final = 5000
MAX_NAME: Final = 255  # characters of a name, units or a version
MAX_RANGE: Final = 2000  # characters of a RangeEnumeration
MAX_DEPTH: Final = 16  # elements within each other; the schema has six

DATA_TYPES: Final = {
    "Integer": DataType.INTEGER,
    "Unsigned Integer": DataType.UNSIGNED_INTEGER,
    "Float": DataType.FLOAT,
    "String": DataType.STRING,
    "Boolean": DataType.BOOLEAN,
    "Time": DataType.TIME,
    "Opaque": DataType.OPAQUE,
    "Objlnk": DataType.OBJLNK,
    "Corelnk": DataType.CORELINK,
}
"""By the names of OMA's schema; a resource that is only executed has none."""
OPERATIONS: Final = ("", "R", "W", "RW", "E")
"""What a resource allows: to read, write, execute; nothing stands for what a bootstrap server writes."""
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)
_DEFAULT_VERSION: Final = "1.0"


class BadModelError(ValueError):
    """The XML is no object model; the text names the line, and what would be right."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")


class ResourceModel(msgspec.Struct, frozen=True, kw_only=True):
    """What the model of an object says of one of its resources."""

    id: int
    name: str
    operations: str = "R"
    """One of OPERATIONS."""
    multiple: bool = False
    mandatory: bool = False
    data_type: DataType | None = None
    """None of one that is only executed."""
    range: str | None = None
    """RangeEnumeration as it stands there; see flownexus.lwm2m.value_range."""
    units: str | None = None


class ObjectModel(msgspec.Struct, frozen=True, kw_only=True):
    """What one version of an object's model says."""

    object_id: int
    version: str
    name: str
    multiple: bool = True
    resources: tuple[ResourceModel, ...]


class _Element:
    """An element of the XML, and where it stands."""

    def __init__(self, tag: str, line: int, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.line = line
        self.attributes = attributes
        self.children: list[_Element] = []
        self.pieces: list[str] = []

    def child(self, tag: str) -> _Element | None:
        return next((each for each in self.children if each.tag == tag), None)

    def all(self, tag: str) -> Iterator[_Element]:
        return (each for each in self.children if each.tag == tag)

    def text(self, tag: str, most: int = MAX_NAME) -> str:
        """Return the text of a child in one line, nothing where there is none; raise BadModelError."""
        child = self.child(tag)
        if child is None:
            return ""
        text = " ".join("".join(child.pieces).split())
        if len(text) > most:
            raise BadModelError(child.line, f"{tag} has {len(text)} characters; at most {most} are taken")
        return text

    def line_of(self, tag: str) -> int:
        child = self.child(tag)
        return self.line if child is None else child.line


def parse_models(xml: bytes) -> list[ObjectModel]:
    """Read the objects of a file; raise BadModelError where it is none of OMA's form."""
    root = _parse(xml)
    if root.tag != "LWM2M":
        raise BadModelError(root.line, f"the root element is <LWM2M>, not <{root.tag[:64]}>")
    models = [_object(element) for element in root.all("Object")]
    if not models:
        raise BadModelError(root.line, "<LWM2M> has no <Object>, which is what a model describes")
    return models


def _parse(xml: bytes) -> _Element:
    if len(xml) > MAX_XML_BYTES:
        raise BadModelError(1, f"the file has {len(xml)} bytes; at most {MAX_XML_BYTES} are taken")
    parser = expat.ParserCreate("UTF-8")  # whatever the file declares
    parser.buffer_text = True
    top = _Element("", 0, {})
    open_: list[_Element] = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_) > MAX_DEPTH:
            raise BadModelError(parser.CurrentLineNumber, f"elements stand more than {MAX_DEPTH} deep")
        element = _Element(tag, parser.CurrentLineNumber, attributes)
        open_[-1].children.append(element)
        open_.append(element)

    def end(_tag: str) -> None:
        open_.pop()

    def text(piece: str) -> None:
        open_[-1].pieces.append(piece)

    def document_type(*_: object) -> None:
        raise BadModelError(
            parser.CurrentLineNumber, "a document type declaration is not taken: leave <!DOCTYPE> out"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise BadModelError(error.lineno, f"it is no XML: {expat.ErrorString(error.code)}") from None
    return top.children[0]


def _object(element: _Element) -> ObjectModel:
    version = element.text("ObjectVersion") or _DEFAULT_VERSION
    if not _VERSION.fullmatch(version):
        raise BadModelError(
            element.line_of("ObjectVersion"), f"ObjectVersion {version[:64]!r} is not such as 1.0"
        )
    resources = element.child("Resources")
    if resources is None:
        raise BadModelError(element.line, "<Object> has no <Resources>")
    found: dict[int, ResourceModel] = {}
    for item in resources.all("Item"):
        resource = _resource(item)
        if resource.id in found:
            raise BadModelError(item.line, f"resource {resource.id} is there twice")
        if len(found) == MAX_RESOURCES:
            raise BadModelError(item.line, f"there are more than {MAX_RESOURCES} resources")
        found[resource.id] = resource
    return ObjectModel(
        object_id=_id(element.text("ObjectID"), "ObjectID", element.line_of("ObjectID")),
        version=version,
        name=_name(element),
        multiple=_choice(element, "MultipleInstances", "Multiple", "Single"),
        resources=tuple(found.values()),
    )


def _resource(item: _Element) -> ResourceModel:
    operations = item.text("Operations").upper()
    if operations not in OPERATIONS:
        raise BadModelError(
            item.line_of("Operations"),
            f"Operations {operations[:64]!r} is not one of R, W, RW, E, or empty",
        )
    type_ = item.text("Type")
    if type_ and type_ not in DATA_TYPES:
        raise BadModelError(
            item.line_of("Type"), f"Type {type_[:64]!r} is not one of {', '.join(DATA_TYPES)}, or empty"
        )
    data_type = DATA_TYPES.get(type_)
    if data_type is None and operations != "E":
        raise BadModelError(
            item.line_of("Type"), f"the Type is empty, which only a resource has that is executed (E): "
            f"write one of {', '.join(DATA_TYPES)}"
        )  # fmt: skip
    return ResourceModel(
        id=_id(item.attributes.get("ID", ""), "Item ID", item.line),
        name=_name(item),
        operations=operations,
        multiple=_choice(item, "MultipleInstances", "Multiple", "Single"),
        mandatory=_choice(item, "Mandatory", "Mandatory", "Optional"),
        data_type=None if operations == "E" else data_type,
        range=_lines(item, "RangeEnumeration"),
        units=item.text("Units") or None,
    )


def _lines(item: _Element, tag: str) -> str | None:
    """Return the text of a child with its lines, each without spaces around it."""
    child = item.child(tag)
    lines = "".join(child.pieces).split("\n") if child is not None else []
    text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
    if child is not None and len(text) > MAX_RANGE:
        raise BadModelError(child.line, f"{tag} has {len(text)} characters; at most {MAX_RANGE} are taken")
    return text or None


def _name(element: _Element) -> str:
    name = element.text("Name")
    if not name:
        raise BadModelError(element.line_of("Name"), f"the <{element.tag}> has no <Name>")
    return name


def _id(text: str, what: str, line: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
        raise BadModelError(line, f"{what} {text[:64]!r} is not a number from 0 to {MAX_ID}")
    return int(text)


def _choice(element: _Element, tag: str, yes: str, no: str) -> bool:
    """Return whether a child says `yes`; one that is not there, or is empty, says `no`."""
    text = element.text(tag) or no
    if text not in {yes, no}:
        raise BadModelError(element.line_of(tag), f"{tag} {text[:64]!r} is not {yes} or {no}")
    return text == yes
