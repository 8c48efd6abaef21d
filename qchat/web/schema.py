"""JSON Schema (2020-12) of types: attrs classes, and what their fields are annotated with."""

import types
from collections.abc import Sequence
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import define, field

from qchat.model.shape import ABSENT, Limits

Schema = dict[str, Any]
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@define(eq=False)
class Schemas:
    """Collects the classes that have been asked for; they refer to each other by name."""

    components: dict[str, Schema] = field(factory=dict)
    _classes: dict[str, type] = field(factory=dict)

    def of(self, hint: Any) -> Schema:
        """The schema of a type.

        :raises TypeError: for a type that JSON does not have, and for two classes of one name.
        """
        if hint in _PLAIN:
            return {"type": _PLAIN[hint]}
        if hint is Any:
            return {}
        if isinstance(hint, type) and attrs.has(hint):
            return self._class(hint)
        return self._composed(hint, get_origin(hint), get_args(hint))

    def _composed(self, hint: Any, origin: Any, arguments: Any) -> Schema:
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin in (list, tuple):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        raise TypeError(f"{hint!r} has no schema")

    def _annotated(self, hint: Any, notes: Sequence[Any]) -> Schema:
        found = self.of(hint)
        said = [note for note in notes if isinstance(note, str)]
        for note in notes:
            found |= note if isinstance(note, Limits) else {}
        return found | {"description": said[-1]} if said else found

    def named(self, name: str, hint: Any) -> Schema:
        """A type that is no class, under a name."""
        self.components[name] = self.of(hint)
        return {"$ref": f"#/components/schemas/{name}"}

    def _union(self, members: Sequence[Any]) -> Schema:
        found = [self.of(member) for member in members]
        if all(set(schema) == {"type"} for schema in found):
            return {"type": [schema["type"] for schema in found]}
        tagged = all(attrs.has(member) and "type" in attrs.fields_dict(member) for member in members)
        return {"oneOf": found, "discriminator": {"propertyName": "type"}} if tagged else {"anyOf": found}

    def _class(self, cls: type) -> Schema:
        name = cls.__name__
        if self._classes.setdefault(name, cls) is not cls:
            raise TypeError(f"{cls.__module__}.{name}: the name is taken by {self._classes[name].__module__}")
        if name not in self.components:
            self.components[name] = {}  # classes may contain themselves
            self.components[name] = self._object(cls)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, cls: type) -> Schema:
        hints = get_type_hints(cls, include_extras=True)
        fields = attrs.fields(cls)
        found: Schema = {
            "type": "object",
            "properties": {one.name: self.of(hints[one.name]) for one in fields},
            "required": [one.name for one in fields if one.default is not ABSENT],
        }
        if getattr(cls, "CLOSED", False):
            found["additionalProperties"] = False
        return found | ({"description": cleandoc(cls.__doc__)} if cls.__doc__ else {})
