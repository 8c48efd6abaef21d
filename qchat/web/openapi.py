"""The API document, OpenAPI 3.1: made from the routes, and from what their handlers say of themselves."""

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from itertools import groupby
from typing import Any

import attrs
from aiohttp import web
from attrs import define, field

import qchat
from qchat.errors import (
    ErrorBody,
    Forbidden,
    InternalError,
    Overloaded,
    QchatError,
    StorageUnavailable,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
    ValidationError,
)
from qchat.model.eventdata import PingData
from qchat.model.failure import FAILURES
from qchat.web.operation import Events, Media, Operation, operation_of
from qchat.web.parameters import PATH, Parameter
from qchat.web.schema import Schema, Schemas

EVERYWHERE = (
    ValidationError,
    Unauthorized,
    Forbidden,
    UnsupportedMediaType,
    TooManyRequests,
    InternalError,
    Overloaded,
    StorageUnavailable,
)
"""What any route may answer with, but the probes."""
VARIABLE = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
PHRASES = {
    200: "OK",
    201: "it was made",
    202: "it was accepted",
    204: "nothing to send",
    206: "a part",
    304: "it has not changed",
    503: "not now",
}
TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed where access control is on; browsers that have logged in have a cookie instead.",
}
DESCRIPTION = """\
Everything is JSON in UTF-8; times are seconds since the epoch; unknown fields are to be skipped.
Streams are server-sent events: each has one line of data, which is JSON with a `type`, and an id by which
a reader continues where it was."""


def document(app: web.Application) -> dict[str, Any]:
    """The document for all routes of ``app`` whose handlers describe themselves."""
    return _Writer().document(app)


@define(eq=False)
class _Writer:
    schemas: Schemas = field(factory=Schemas)
    targets: dict[str, set[str]] = field(factory=dict)
    """Operations that need to know something, and what: the variables of their paths."""
    links: dict[str, dict[str, Any]] = field(factory=dict)
    errors: dict[str, dict[str, Any]] = field(factory=dict)
    """Responses that tell of an error, by status and codes."""

    def document(self, app: web.Application) -> dict[str, Any]:
        routes = list(_routes(app))
        self.targets = {name: set(names) for path, _, name, _ in routes if (names := VARIABLE.findall(path))}
        paths: dict[str, dict[str, Any]] = {}
        for path, method, name, handler in routes:
            paths.setdefault(path, {})[method] = self._operation(path, name, handler)
        return {
            "openapi": "3.1.0",
            "info": {"title": "qchat", "version": qchat.__version__, "description": DESCRIPTION},
            "security": [{}, {"token": []}],  # needed where access control is on
            "paths": paths,
            "components": {
                "securitySchemes": {"token": TOKEN},
                "schemas": self.schemas.components,
                "responses": self.errors,
                "links": self.links,
            },
        }

    def _operation(self, path: str, name: str, handler: Any) -> dict[str, Any]:
        told = handler.operation
        summary, _, rest = cleandoc(handler.__doc__).partition("\n\n")
        found: dict[str, Any] = {"operationId": name, "tags": [name.partition("_")[0]]}
        found |= {"summary": " ".join(summary.split())} | ({"description": rest} if rest else {})
        if parameters := [*self._path_parameters(path), *map(self._parameter, told.parameters)]:
            found["parameters"] = parameters
        if told.body is not None:
            found["requestBody"] = {"required": told.body_required, "content": self._content(told.body)}
        found["responses"] = self._responses(path, told)
        return found

    def _path_parameters(self, path: str) -> Iterator[dict[str, Any]]:
        for name in VARIABLE.findall(path):
            hint, meaning = PATH[name]
            schema = self.schemas.of(hint)
            yield {"name": name, "in": "path", "required": True, "description": meaning, "schema": schema}

    def _parameter(self, told: Parameter) -> dict[str, Any]:
        found = {"name": told.name, "in": told.place, "description": told.meaning, "schema": told.schema}
        return found | ({"required": True} if told.required else {})

    def _responses(self, path: str, told: Operation) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for status, sent in told.answers.items():
            found[str(status)] = {"description": PHRASES[status]}
            if sent is not None:
                found[str(status)]["content"] = self._content(sent)
            if links := self._links_from(path, status, sent):
                found[str(status)]["links"] = links
        for status, group in groupby(sorted(_errors(told)), key=lambda row: row[0]):
            found[str(status)] = self._error(status, [row[1:] for row in group], told.error_body)
        return found

    def _error(self, status: int, rows: list[tuple[str, str]], body: type) -> dict[str, Any]:
        form = "" if body is ErrorBody else body.__name__
        name = "_".join((form + str(status), *(code for code, _ in rows)))
        self.errors[name] = self._error_response(rows, body)
        return {"$ref": f"#/components/responses/{name}"}

    def _error_response(self, rows: list[tuple[str, str]], body: type) -> dict[str, Any]:
        codes: Schema = {"properties": {"code": {"enum": [code for code, _ in rows]}}}
        if body is not ErrorBody:  # OpenAI's has one object around it
            codes = {"properties": {"error": codes}}
        schema = {"allOf": [self.schemas.of(body), codes]}
        description = "\n".join(f"- `{code}`: {meaning}" for code, meaning in rows)
        return {"description": description, "content": {"application/json": {"schema": schema}}}

    def _content(self, sent: Any) -> dict[str, Any]:
        if isinstance(sent, tuple):
            return {kind: schema for one in sent for kind, schema in self._content(one).items()}
        if isinstance(sent, Media):
            return {kind: {} for kind in sent.types}
        if isinstance(sent, Events):
            return {"text/event-stream": {"schema": self._event(sent)}}
        return {"application/json": {"schema": self.schemas.of(sent)}}

    def _event(self, sent: Events) -> Schema:
        """Of one event, which is what OpenAPI 3.1 has to say of a stream."""
        if attrs.has(sent.data):
            data = self.schemas.of(sent.data)
        else:
            data = {"anyOf": [self.schemas.named("EventData", sent.data), self.schemas.of(PingData)]}
        line = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
        return {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "what a reader continues behind"},
                "event": {"type": "string", "enum": ["message", "ping"]},
                "data": line,
            },
            "required": ["data"],
        }

    def _links_from(self, path: str, status: int, sent: Any) -> dict[str, Schema]:
        """To whatever can be asked with the names that an answer carries, or what was made under a path."""
        answered = {one.name for one in attrs.fields(sent)} if isinstance(sent, type) else set()
        asked = set(VARIABLE.findall(path)) if status == 201 else set()
        found = {}
        for name, variables in self.targets.items():
            source = "$response.body#/" if variables <= answered else "$request.path."
            if variables <= answered or variables <= asked:
                link = f"{name}_by_{'answer' if variables <= answered else 'path'}"
                parameters = {one: source + one for one in sorted(variables)}
                self.links[link] = {"operationId": name, "parameters": parameters}
                found[link] = {"$ref": f"#/components/links/{link}"}
        return found


def _routes(app: web.Application) -> Iterator[tuple[str, str, str, Any]]:
    """(path, method, operation id, handler)."""
    for route in app.router.routes():
        if route.method == "HEAD" or route.resource is None or operation_of(route.handler) is None:
            continue
        handler: Any = route.handler
        name = f"{handler.__module__.rpartition('.')[2]}_{handler.__name__}"
        path = VARIABLE.sub(r"{\1}", _template(route.resource))
        yield path, route.method.lower(), name, handler


def _template(resource: web.AbstractResource) -> str:
    return resource.get_info().get("formatter") or resource.canonical


def _errors(told: Operation) -> Iterable[tuple[int, str, str]]:
    """(status, code, meaning), each once."""
    classes: tuple[type[QchatError], ...] = () if told.probe else (*EVERYWHERE, *told.raises)
    found = {one.code: (one.status, one.code, cleandoc(one.__doc__ or "")) for one in classes}
    if told.turn_fails:
        found |= {code: (row.status, code, row.text("en", "")) for code, row in FAILURES.items()}
    return found.values()
