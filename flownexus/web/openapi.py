"""The description of a function's routes: OpenAPI 3.1, made of the types that read requests and answer them.

GET /openapi.json: the document.

https://spec.openapis.org/oas/v3.1.1; its schemas are JSON Schema 2020-12, as msgspec writes them.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, ClassVar, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from flownexus import fields
from flownexus.errors import (
    BadRequestError,
    FlowNexusError,
    InsufficientScopeError,
    NotFoundError,
    TemporaryError,
    TooMuchError,
    UnauthorizedError,
    ValidationFailedError,
)
from flownexus.web.described import JSON, Media, OneOf
from flownexus.web.flask import FunctionApp, ScopedRule
from flownexus.web.guard import Scope

OPENAPI: Final = "3.1.1"
API_VERSION: Final = "1"
"""The version of the API, as URLs have it."""
_REFERENCES: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_CONVERTED: Final[Mapping[str, Any]] = {
    "int": {"type": "integer", "minimum": 0},
    "default": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}
"""What werkzeug's converters take; one of ours says so by its attribute `schema`."""
_OF_THE_SERVER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GATEWAY_TIMEOUT)
"""What the function's server answers by itself (docs/functions.md)."""
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.FORBIDDEN: {"WWW-Authenticate": "which scope the token lacks (RFC 6750, 3.1)"},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "seconds, after which to try again"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "seconds, after which to try again"},
}


class Problem(msgspec.Struct):
    """Why a request was refused (RFC 9457); `detail` says what was wrong and what would be right."""

    title: str
    status: int
    type: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


@cache
def shown(row: type, *, either: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> type[msgspec.Struct]:
    """Return the type of a row's JSON, an object `without` some fields; of `either` only one is there."""
    return msgspec.defstruct(
        row.__name__,
        [
            (name, hint | msgspec.UnsetType, msgspec.UNSET) if name in either else (name, hint)
            for name, hint in get_type_hints(row, include_extras=True).items()
            if name not in without and get_origin(hint) is not ClassVar and hint is not ClassVar
        ],
        namespace={"__doc__": row.__doc__},
        kw_only=True,
    )


@cache
def with_fields(kind: type[msgspec.Struct], name: str = "", /, **more: Any) -> type[msgspec.Struct]:
    """Return the type of an object that has these fields, too, each of a type, or a type and a default."""
    return msgspec.defstruct(
        name or kind.__name__,
        [(field, *of) if isinstance(of, tuple) else (field, of) for field, of in more.items()],
        bases=(kind,),
        kw_only=True,
        namespace={"__doc__": kind.__doc__},
    )


@cache
def page_of(name: str, item: type[msgspec.Struct], cursor: type) -> type[msgspec.Struct]:
    """Return the type of a page: {<name>: [<item>, ...], "next": <cursor of the next page> | null}."""
    return msgspec.defstruct(f"PageOf{item.__name__}", [(name, list[item]), ("next", cursor | None)])  # type: ignore[valid-type]


def add_openapi(app: FunctionApp, name: str) -> None:
    """Add GET /openapi.json, which describes the app's routes; its name is the function's."""

    @app.get("/openapi.json", scope=Scope.READ, answers={200: dict[str, Any]})
    def openapi() -> dict[str, Any]:
        """Return this description."""
        return document()

    document = cache(lambda: describe(app, name))


def describe(app: FunctionApp, name: str) -> dict[str, Any]:
    """Return the description of the app's routes, as JSON; the function's name is in their URLs."""
    rules = sorted(_rules(app), key=str)
    schemas = _Schemas(each for rule in rules for each in _types(rule))
    paths: dict[str, dict[str, Any]] = {}
    for rule in rules:
        path = _PARAMETER.sub(lambda match: f"{{{_name(match[2])}}}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(app, rule, method, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": f"Flow Nexus: {name}", "version": API_VERSION},
        "servers": [{"url": f"/function/{name}"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The JSON Schemas of types, each once."""

    def __init__(self, of: Iterable[Any]) -> None:
        kinds = list(dict.fromkeys((*of, Problem)))
        found, self.named = msgspec.json.schema_components(kinds, ref_template=_REFERENCES)
        self._of = dict(zip(kinds, found, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type."""
        if isinstance(kind, OneOf):
            return {"anyOf": [self.of(each) for each in kind.kinds]}
        return dict(self._of[kind])


def _types(rule: ScopedRule) -> Iterator[Any]:
    """Yield the types that a route declares."""
    described = rule.described
    if described.query is not None:
        yield from (_given(field.type) for field in msgspec.structs.fields(described.query))
    if described.body is not None:
        yield from _kinds(described.body.kind)
    yield from described.headers.values()
    for answer in described.answers.values():
        yield from _kinds(answer)


def _operation(app: FunctionApp, rule: ScopedRule, method: str, schemas: _Schemas) -> dict[str, Any]:
    described = rule.described
    summary, _, more = _doc(app, rule).partition("\n\n")
    blueprint, _, _ = rule.endpoint.rpartition(".")
    responses = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": _content(answer, schemas),
        }
        for status, answer in described.answers.items()
    }
    responses |= {str(status): _refusal(status, schemas) for status in sorted(_refused(rule))}
    return {
        "operationId": f"{method.lower()} {rule.endpoint}",
        "summary": summary.replace("\n", " "),
        **({"description": more} if more else {}),
        "tags": [blueprint or app.name],
        "security": [{"bearer": [str(rule.scope)]}],
        "parameters": [*_path_parameters(app, rule), *_parameters(rule, schemas)],
        **(
            {
                "requestBody": {
                    "required": described.body.required,
                    "content": _content(described.body.kind, schemas),
                }
            }
            if described.body is not None
            else {}
        ),
        "responses": responses,
    }


def _media(what: Any) -> Mapping[str, Any]:
    """Return the types of a body by media type."""
    return what.kinds if isinstance(what, Media) else {JSON: what}


def _kinds(what: Any) -> Iterator[Any]:
    """Yield the types of which a body may be."""
    for kind in _media(what).values():
        yield from kind.kinds if isinstance(kind, OneOf) else (kind,)


def _content(what: Any, schemas: _Schemas) -> dict[str, Any]:
    """Return the description of a body; of what is no JSON it says the media type alone."""
    return {name: {"schema": schemas.of(kind)} if name == JSON else {} for name, kind in _media(what).items()}


def _path_parameters(app: FunctionApp, rule: ScopedRule) -> Iterator[dict[str, Any]]:
    for converter, name in _PARAMETER.findall(rule.rule):
        converted = converter or "default"
        schema = _CONVERTED.get(converted) or getattr(app.url_map.converters[converted], "schema", {})
        yield {"name": _name(name), "in": "path", "required": True, "schema": schema}


def _parameters(rule: ScopedRule, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    query = rule.described.query
    for field in () if query is None else msgspec.structs.fields(query):
        schema = schemas.of(_given(field.type))
        if field.default not in (None, msgspec.NODEFAULT):
            schema["default"] = field.default
        yield {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "description": fields.words(field.type) or "",
            "schema": schema,
        }
    for name, kind in rule.described.headers.items():
        yield {
            "name": name,
            "in": "header",
            "required": False,
            "description": fields.words(kind) or "",
            "schema": schemas.of(kind),
        }


def _refused(rule: ScopedRule) -> set[int]:
    """Return with which statuses a route may refuse a request."""
    described = rule.described
    errors: set[type[FlowNexusError]] = {UnauthorizedError, InsufficientScopeError, TemporaryError}
    errors |= set(described.refusals)
    if rule.arguments:
        errors.add(NotFoundError)
    if described.query is not None:
        errors.add(ValidationFailedError)
    if described.body is not None:
        errors |= {BadRequestError, TooMuchError, ValidationFailedError}
    if described.headers:
        errors.add(BadRequestError)
    # What is no value of a path parameter may make the path of another route.
    others = {HTTPStatus.METHOD_NOT_ALLOWED} if rule.arguments else set()
    return {error.status for error in errors} | set(_OF_THE_SERVER) | others


def _refusal(status: int, schemas: _Schemas) -> dict[str, Any]:
    headers = {
        name: {"description": words, "schema": {"type": "string"}}
        for name, words in _HEADERS.get(status, {}).items()
    }
    return {
        "description": HTTPStatus(status).phrase,
        **({"headers": headers} if headers else {}),
        "content": {"application/problem+json": {"schema": schemas.of(Problem)}},
    }


def _rules(app: FunctionApp) -> Iterator[ScopedRule]:
    return (rule for rule in app.url_map.iter_rules() if isinstance(rule, ScopedRule))


def _doc(app: FunctionApp, rule: ScopedRule) -> str:
    """Return what a route does, as its view function says."""
    return cleandoc(app.view_functions[rule.endpoint].__doc__ or rule.endpoint)


def _name(variable: str) -> str:
    """Return the parameter's name of a rule's variable: a word that Python has taken has a `_` behind it."""
    return variable.rstrip("_")


def _given(type_: Any) -> Any:
    """Return the type of a parameter that is given: without None, which stands for one that is not."""
    if get_origin(type_) not in (Union, types.UnionType):
        return type_
    return Union[tuple(each for each in get_args(type_) if each is not types.NoneType)]  # noqa: UP007
