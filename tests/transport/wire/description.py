"""A description of every message in words that Python's structs and TypeScript's types share.

``fixtures/wire/messages.json`` holds it. A test here compares the structs with that file, and
``web/test/wire/protocol.test.ts`` the types of ``web/src/wire/messages.ts``. After a change of the protocol, write
the file again: ``python -m tests.transport.wire.description``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect

from webinfer.transport.wire.commands import Command, HostToLane, HostToPage, answer_type
from webinfer.transport.wire.messages import HELLOS, NOTICES, Failure, Message, Transfer

FILE = Path(__file__).parents[3] / "fixtures" / "wire" / "messages.json"

Messages = dict[str, dict[str, str]]


def describe() -> dict[str, Messages]:
    """Return the fields of each message, by direction and kind, and those of each answer by its request's kind."""
    requests = [request for request in (*get_args(HostToPage), *get_args(HostToLane)) if issubclass(request, Command)]
    return {
        # The browser reads what the host left out as empty, so here it makes no difference what may be left out.
        "HostToPage": _by_kind(get_args(HostToPage), certain=True),
        "HostToLane": _by_kind(get_args(HostToLane), certain=True),
        "PageToHost": _by_kind((HELLOS["page"], *NOTICES["page"], Failure)),
        "LaneToHost": _by_kind((HELLOS["lane"], *NOTICES["lane"], Transfer, Failure)),
        "Answers": {_kind(request): _fields(answer_type(request)) for request in requests},
    }


def _by_kind(messages: tuple[type[Message], ...], certain: bool = False) -> Messages:
    return dict(sorted((_kind(message), _fields(message, certain)) for message in messages))


def _kind(message: type[Message]) -> str:
    return str(message.__struct_config__.tag)


def _fields(struct: type[msgspec.Struct], certain: bool = False) -> dict[str, str]:
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    return dict(sorted(_field(field, certain) for field in described.fields))


def _field(field: inspect.Field, certain: bool = False) -> tuple[str, str]:
    """Return a field's name, with a question mark if it may be left out, and its type."""
    may_lack = not field.required and field.encode_name != "id"
    parts = _parts(field.type) - ({"null"} if may_lack else set())
    return field.encode_name + ("?" if may_lack and not certain else ""), " | ".join(sorted(parts))


def _name(kind: inspect.Type) -> str:
    return " | ".join(sorted(_parts(kind)))


def _parts(kind: inspect.Type) -> set[str]:
    match kind:
        case inspect.Metadata(type=inner):
            return _parts(inner)
        case inspect.UnionType(types=types):
            return set().union(*map(_parts, types))
        case inspect.LiteralType(values=values):
            return {json.dumps(value) for value in values}
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return {f"({_name(item)})[]"}
        case inspect.TupleType(item_types=items):
            return {f"[{', '.join(map(_name, items))}]"}
        case inspect.DictType(key_type=inspect.LiteralType(values=keys), value_type=value):
            return {_object({f"{key}?": _name(value) for key in keys})}
        case inspect.DictType(value_type=value):
            return {f"{{[name]: {_name(value)}}}"}
        case inspect.StructType(fields=fields):
            return {_object(dict(map(_field, fields)))}
    return {_SIMPLE[type(kind)]}


def _object(fields: dict[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {kind}' for name, kind in sorted(fields.items()))}}}"


_SIMPLE: dict[Any, str] = {
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
    inspect.AnyType: "unknown",
}


if __name__ == "__main__":
    FILE.write_text(json.dumps(describe(), indent=2, sort_keys=True) + "\n")
