"""The filter language: which endpoints are meant, such as name==sim-*;tag.site==berlin.

    filter     = all *( "," all )                  at least one of these
    all        = term *( ";" term )                each of these
    term       = "(" filter ")" / comparison
    comparison = field operator value / field ( "=in=" / "=out=" ) "(" value *( "," value ) ")"
    operator   = "==" / "!=" / "<" / "<=" / ">" / ">=" / "=lt=" / "=le=" / "=gt=" / "=ge=" / "=has="
    value      = 1*( any character but a space, a quote, a backslash and ( ) , ; = ! < > ) / quoted
    quoted     = in ' or ", in which a backslash stands before a quote, a backslash or a literal *

It is RSQL's, which follows FIQL (draft-nottingham-atompub-fiql-00). `*` stands for any text. `!=` is the
opposite of `==`: it also fits an endpoint of which the field is not known. `=has=` fits a name that has the
value in it, whether in small letters or capitals. The text is parsed to a tree, and the tree goes to
PostgreSQL as one parameter, JSON, which the function endpoint_matches() there reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

from flownexus.errors import ValidationFailedError
from flownexus.lwm2m.path import MAX_ID

MAX_FILTER: Final = 2000  # characters
MAX_COMPARISONS: Final = 100
MAX_DEPTH: Final = 20
"""How deep parentheses may be nested."""
MAX_TAG_KEY: Final = 63  # characters
TAG_KEY: Final = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9_.-]{{0,{MAX_TAG_KEY - 2}}}[A-Za-z0-9])?", re.ASCII)


class BadFilterError(ValidationFailedError):
    """The text is no filter; it says at which column, and what would be right."""

    def __init__(self, column: int, reason: str) -> None:
        self.reason = f"column {column}: {reason}"
        super().__init__(f"filter: {self.reason}")


class Field(StrEnum):
    """What of an endpoint may be compared."""

    NAME = "name"
    TAG = "tag"
    """With a key: tag.site."""
    FIRMWARE = "fw"
    """The newest value of /3/0/3, as those of model (/3/0/1) and manufacturer (/3/0/0)."""
    MODEL = "model"
    MANUFACTURER = "manufacturer"
    PRESENCE = "presence"
    REGISTERED = "registered"
    OBJECT = "object"
    """The id of an object that its registration names."""
    PROFILE = "profile"
    """The name of the profile that applies to it."""
    LAST_SEEN = "last_seen"
    """When it last registered or updated; an endpoint that never did was seen before any time."""


class Presence(StrEnum):
    """Whether a device can be reached; awake and asleep are states of queue mode."""

    REGISTERED = "registered"
    """Without queue mode: it always listens."""
    AWAKE = "awake"
    ASLEEP = "asleep"
    OFFLINE = "offline"


_SHOWN_FIELDS: Final = ", ".join("tag.KEY" if each is Field.TAG else each for each in Field)
_ALLOWED: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.NAME: ("==", "!=", "=in=", "=out=", "=has="),
    Field.LAST_SEEN: ("<", "<=", ">", ">="),
}
"""The operators of fields that have others than most."""
_UNITS_S: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO: Final = re.compile(r"-(\d{1,10})([smhd])", re.ASCII)
_MAX_AGO_S: Final = 100 * 366 * 86_400
_OPERATORS: Final = (
    *("==", "!=", "<=", "<", ">=", ">"),
    *("=lt=", "=le=", "=gt=", "=ge=", "=in=", "=out=", "=has="),
)
_SPELLED: Final[Mapping[str, str]] = {"=lt=": "<", "=le=": "<=", "=gt=": ">", "=ge=": ">="}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_BARE: Final = re.compile(r"""[^\s'"\\(),;=!<>]+""")
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_OPERATOR: Final = re.compile(r"=(?:lt|le|gt|ge|in|out|has)=|[=!<>]=|[<>]")
_SPACE: Final = re.compile(r"\s*")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Pattern:
    """A text with any text between its parts."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as a value of a filter, in quotes where it needs them."""
        text = "*".join(self.parts)
        if _BARE.fullmatch(text) and not any("*" in part for part in self.parts):
            return text
        escaped = "*".join(re.sub(r"""(["\\*])""", r"\\\1", part) for part in self.parts)
        return f'"{escaped}"'

    @property
    def like(self) -> str:
        """Return it as LIKE of SQL has it."""
        return "%".join(re.sub(r"([\\%_])", r"\\\1", part) for part in self.parts)


Value: TypeAlias = Pattern | Presence | bool | int | datetime | timedelta
"""What is compared with; a timedelta is so long ago."""


@dataclass(frozen=True)
class Comparison:
    """One field compared with one value, by ==, !=, <, <=, >, >= or =has=; `key` is that of a tag."""

    field: Field
    operator: str
    value: Value
    key: str | None = None

    def __str__(self) -> str:
        """Write it as in a filter."""
        field = self.field if self.key is None else f"{self.field}.{self.key}"
        return f"{field}{self.operator}{_shown(self.value)}"

    def as_json(self) -> dict[str, Any]:
        """Return it as endpoint_matches() reads it: ==, < or >, or the opposite of one of these."""
        plain = {"!=": "==", ">=": "<", "<=": ">"}.get(self.operator)
        if plain is not None:
            return {"not": Comparison(self.field, plain, self.value, self.key).as_json()}
        shown: dict[str, Any] = {"field": str(self.field)} | ({} if self.key is None else {"key": self.key})
        match self.value:
            case Pattern():
                if self.operator == "=has=":
                    return shown | {"like": f"%{self.value.like}%", "any_case": True}
                return shown | {"like": self.value.like}
            case datetime():
                return shown | {"operator": self.operator, "time": self.value.isoformat()}
            case timedelta():
                return shown | {"operator": self.operator, "seconds_ago": self.value.total_seconds()}
            case _:
                return shown | {"value": self.value}


@dataclass(frozen=True)
class AllOf:
    """Each of its terms; without terms it is every endpoint."""

    terms: tuple[Filter, ...] = ()

    def __str__(self) -> str:
        """Write it as a filter."""
        return ";".join(_in_parentheses(term, AllOf | AnyOf) for term in self.terms)

    def as_json(self) -> dict[str, Any]:
        """Return it as endpoint_matches() reads it."""
        return {"all": [term.as_json() for term in self.terms]}


@dataclass(frozen=True)
class AnyOf:
    """At least one of its terms."""

    terms: tuple[Filter, ...]

    def __str__(self) -> str:
        """Write it as a filter."""
        return ",".join(_in_parentheses(term, AnyOf) for term in self.terms)

    def as_json(self) -> dict[str, Any]:
        """Return it as endpoint_matches() reads it."""
        return {"any": [term.as_json() for term in self.terms]}


Filter: TypeAlias = Comparison | AllOf | AnyOf
EVERYTHING: Final = AllOf()


def comparisons(tree: Filter) -> Iterator[Comparison]:
    """Yield each comparison of a filter."""
    if isinstance(tree, Comparison):
        yield tree
    else:
        for term in tree.terms:
            yield from comparisons(term)


def parse_filter(text: str) -> Filter:
    """Read a filter; an empty one is every endpoint. Raises BadFilterError."""
    if len(text) > MAX_FILTER:
        raise BadFilterError(
            MAX_FILTER + 1, f"a filter has at most {MAX_FILTER} characters; give endpoints a tag"
        )
    if unstorable := _UNSTORABLE.search(text):
        raise BadFilterError(unstorable.start() + 1, "a filter has no NUL characters and no half characters")
    return _Parser(text).whole()


def is_tag_key(text: str) -> bool:
    """Say whether a text may be the key of a tag: it can stand in a filter and in a URL as it is."""
    return len(text) <= MAX_TAG_KEY and TAG_KEY.fullmatch(text) is not None


def _in_parentheses(term: Filter, kinds: Any) -> str:
    return f"({term})" if isinstance(term, kinds) else str(term)


def _shown(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"-{int(value.total_seconds())}s"
        case _:
            return str(value)


class _Parser:
    """Reads a text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comparisons = 0

    def whole(self) -> Filter:
        self._skip()
        if self._at == len(self._text):
            return EVERYTHING
        tree = self._any(0)
        if self._at < len(self._text):
            raise self._bad(
                f"{self._text[self._at]!r} does not belong here; terms are joined by ; (and) or , (or)"
            )
        return tree

    def _any(self, depth: int) -> Filter:
        terms = [self._all(depth)]
        while self._take(","):
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._take(";"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _term(self, depth: int) -> Filter:
        if not self._take("("):
            return self._comparison()
        if depth == MAX_DEPTH:
            raise self._bad(f"parentheses are nested more than {MAX_DEPTH} deep")
        inner = self._any(depth + 1)
        self._need(")", "the parenthesis is not closed; put a )")
        return inner

    def _comparison(self) -> Filter:
        column = self._at
        field, key = self._field()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            raise self._bad(f"after {field} comes one of {' '.join(_OPERATORS)}")
        operator_at, operator = self._at, _SPELLED.get(found[0], found[0])
        self._at = found.end()
        self._skip()
        allowed = _ALLOWED.get(field, ("==", "!=", "=in=", "=out="))
        if operator not in allowed:
            raise BadFilterError(operator_at + 1, f"{field} is compared by {' '.join(allowed)}")
        if operator not in ("=in=", "=out="):
            return self._counted(Comparison(field, operator, self._value(field), key), column)
        self._need("(", f"after {operator} come values in parentheses: {field}{operator}(a,b)")
        single = "==" if operator == "=in=" else "!="
        terms = [self._counted(Comparison(field, single, self._value(field), key), column)]
        while self._take(","):
            terms.append(self._counted(Comparison(field, single, self._value(field), key), column))
        self._need(")", "the parenthesis is not closed; put a )")
        if len(terms) == 1:
            return terms[0]
        return AnyOf(tuple(terms)) if operator == "=in=" else AllOf(tuple(terms))

    def _counted(self, comparison: Comparison, column: int) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise BadFilterError(
                column + 1, f"a filter compares at most {MAX_COMPARISONS} times; give endpoints a tag"
            )
        return comparison

    def _field(self) -> tuple[Field, str | None]:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._bad(f"here a comparison begins, with one of {_SHOWN_FIELDS}")
        name, dot, key = found[0].partition(".")
        if name not in list(Field) or (dot and name != Field.TAG):
            raise self._bad(f"{found[0]!r} is no field; the fields are {_SHOWN_FIELDS}")
        field = Field(name)
        if field is Field.TAG and not is_tag_key(key):
            raise self._bad(
                "a tag is named by its key, of letters, digits and . _ - inside, such as tag.site"
            )
        self._at = found.end()
        self._skip()
        return field, key if field is Field.TAG else None

    def _value(self, field: Field) -> Value:
        at = self._at
        pattern = self._pattern()
        text = "*".join(pattern.parts)
        match field:
            case Field.PRESENCE:
                if text in list(Presence):
                    return Presence(text)
                right = f"one of {', '.join(Presence)}"
            case Field.REGISTERED:
                if text in ("true", "false"):
                    return text == "true"
                right = "true or false"
            case Field.OBJECT:
                if re.fullmatch(r"\d{1,5}", text, re.ASCII) and int(text) <= MAX_ID:
                    return int(text)
                right = f"an object id from 0 to {MAX_ID}, such as 3303"
            case Field.LAST_SEEN:
                if (time := _time(text)) is not None:
                    return time
                right = "a time such as 2026-01-02T03:04:05Z, or so long ago: -90s, -15m, -24h or -7d"
            case _:
                return pattern
        raise BadFilterError(at + 1, f"{field} is {right}, not {text[:64]!r}")

    def _pattern(self) -> Pattern:
        if quoted := _QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            self._skip()
            parts = [""]
            for each in re.finditer(r"\\(.)|(\*)|([^\\*]+)", quoted[0][1:-1], re.DOTALL):
                if each[2]:
                    parts.append("")
                else:
                    parts[-1] += each[1] or each[3]
            return Pattern(tuple(parts))
        bare = _BARE.match(self._text, self._at)
        if bare is None:
            raise self._bad("here a value belongs; one with spaces or ( ) , ; = ! < > is put in quotes")
        self._at = bare.end()
        self._skip()
        return Pattern(tuple(bare[0].split("*")))

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _need(self, sign: str, reason: str) -> None:
        if not self._take(sign):
            raise self._bad(reason)

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None  # noqa: S101  # it fits nothing, too
        self._at = found.end()

    def _bad(self, reason: str) -> BadFilterError:
        return BadFilterError(self._at + 1, reason)


def _time(text: str) -> datetime | timedelta | None:
    """Return the time that a value is, in UTC; None where it is none that PostgreSQL has."""
    if ago := _AGO.fullmatch(text):
        seconds = int(ago[1]) * _UNITS_S[ago[2]]
        return timedelta(seconds=seconds) if seconds <= _MAX_AGO_S else None
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
