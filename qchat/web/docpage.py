"""The API document as a page for people: no script, nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dbe0, #3a3d44);
  --soft: light-dark(#f4f5f7, #23252b) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { margin: .5rem 0 } h2 { margin: 2rem 0 .5rem }
code, pre { font-family: ui-monospace, monospace; font-size: .875em; overflow-wrap: anywhere }
td:first-child code { white-space: nowrap }
table code { background: var(--soft) }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: 0 .75rem }
summary { padding: .5rem 0; cursor: pointer; overflow-wrap: anywhere }
summary b { display: inline-block; min-width: 4.5rem; font-family: ui-monospace, monospace }
summary span { opacity: .75 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
td, th { border-top: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top }
a { color: light-dark(#0b57d0, #8ab4f8) }
"""
TITLES = {"openai": "OpenAI", "meta": "The service", "document": "This document", "login": "Logging in"}
"""Of groups of operations that are not called as their module is."""
POLICY = (
    f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src"
    f" 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)


def page(document: dict[str, Any]) -> str:
    """The page: every operation, what it takes and what it answers, and every class."""
    return "".join(
        (
            "<!DOCTYPE html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            f"<title>qchat API</title><style>{STYLE}</style>",
            f"<h1>qchat API {_text(document['info']['version'])}</h1>",
            f"<p>{_text(document['info']['description'])}</p>",
            "<p><a href=openapi.json>openapi.json</a> is this document for programs.</p>",
            *_operations(document),
            "<h2>Classes</h2>",
            *(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
            "</html>",
        )
    )


def _operations(document: dict[str, Any]) -> Iterator[str]:
    found = [
        (told["tags"][0], path, method, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]
    for tag in dict.fromkeys(row[0] for row in found):
        yield f"<h2>{_text(TITLES.get(tag, tag.capitalize()))}</h2>"
        for _, path, method, told in (row for row in found if row[0] == tag):
            yield _operation(document, path, method, told)


def _operation(document: dict[str, Any], path: str, method: str, told: dict[str, Any]) -> str:
    parameters = [
        (one["name"], one["in"] + ", needed" * one.get("required", False), one["description"], one["schema"])
        for one in told.get("parameters", ())
    ]
    body = told.get("requestBody", {}).get("content", {})
    return "".join(
        (
            f"<details id='{told['operationId']}'><summary><b>{method.upper()}</b>",
            f" <code>{_text(path)}</code>",
            f" <span>{_text(told['summary'])}</span></summary>",
            f"<p>{_text(told.get('description', ''))}</p>",
            "<h3>Takes</h3>" if parameters or body else "",
            _table((name, place, meaning, _kind(schema)) for name, place, meaning, schema in parameters),
            _table(("body", kind, _kind(one.get("schema", {}))) for kind, one in body.items()),
            "<h3>Answers</h3>",
            _table(_answers(document, told["responses"])),
            "</details>",
        )
    )


def _answers(document: dict[str, Any], responses: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for status, answer in responses.items():
        if "$ref" in answer:
            name = answer["$ref"].rpartition("/")[2]
            yield status, "", _text(document["components"]["responses"][name]["description"])
            continue
        for kind, one in answer.get("content", {"": {}}).items():
            yield status, kind, _kind(one.get("schema", {})) or _text(answer["description"])


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [
        (field, _kind(one), _text(one.get("description", "")))
        for field, one in schema.get("properties", {}).items()
    ]
    rest = _table(rows) if rows else f"<p>{_kind(schema)}</p>"
    about = _text(schema.get("description", ""))
    summary = f"<summary><code>{_text(name)}</code> <span>{about}</span></summary>"
    return f"<details id='{_text(name)}'>{summary}{rest}</details>"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{_text(name)}'>{_text(name)}</a>"
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(map(_kind, schema[several]))
    if "properties" in schema and "data" in schema["properties"]:  # an event of a stream
        return "events: " + _kind(schema["properties"]["data"].get("contentSchema", {}))
    if schema.get("type") == "array":
        return "list of " + _kind(schema["items"])
    facts = {name: value for name, value in schema.items() if name not in ("description", "type")}
    kind = " or ".join(schema["type"]) if isinstance(schema.get("type"), list) else schema.get("type", "")
    more = f" <code>{_text(json.dumps(facts, ensure_ascii=False))}</code>" if facts else ""
    return _text(kind) + more


def _table(rows: Any) -> str:
    found = "".join(
        f"<tr><td><code>{_text(row[0])}</code>" + "".join(f"<td>{one}" for one in row[1:]) for row in rows
    )
    return f"<table>{found}</table>" if found else ""


def _text(text: str) -> str:
    return re.sub("`+([^`]*)`+", r"<code>\1</code>", escape(text)).replace("\n", "<br>")
