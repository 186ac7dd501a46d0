"""From a document to a protobuf message: descriptor and nodes are walked together, so every field keeps its place.

The rules are proto3's JSON mapping as Envoy applies it: fields by their proto or camelCase name, enum names in any case
and as numbers, a lone value where a list is wanted, ``null`` for *not set*, durations and wrappers also written as the
messages they are. An ``Any`` is read in place, with the type that ``@type`` names. All errors of a text are collected
and raised at once, as ``ConfigErrors``.

What is not here: ``validate.rules`` and everything else that judges a message that could be read. Such checks take a
``Parsed``, after ``merge``, and point with its ``where``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

import attrs
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from plait.api.errors import ConfigError, ConfigErrors
from plait.xds import messages
from plait.xds.complaints import Complaints, UnknownType, named
from plait.xds.document import Document, MappingNode, Node, ScalarNode, SequenceNode
from plait.xds.files import read_file
from plait.xds.positions import Merge, Path, Positions, Spot, Where
from plait.xds.scalars import Convert, Refused, converter, to_duration, to_text
from plait.xds.yaml_text import read_yaml

__all__ = ["Parsed", "UnknownType", "load", "merge", "parse"]

M = TypeVar("M", bound=Message)

_TYPE = "@type"
_MISSING: Any = object()


@attrs.frozen
class Parsed(Generic[M]):
    """A message and the places of its fields."""

    message: M
    positions: Positions

    @property
    def where(self) -> Where:
        """The cursor at the top of the message."""
        return Where(self.positions)


def load(
    source: str | os.PathLike[str],
    message_class: type[M],
    *,
    name: str = "<text>",
    advise: Callable[[str], str] | None = None,
) -> Parsed[M]:
    """Read a message from a file (a path object) or from YAML text (a string, called ``name`` in messages).

    ``advise`` is asked for a hint about each unknown type: given its full name, it says what to install, or "".
    Raises ``ConfigErrors`` with everything that is wrong, in the order of the text.
    """
    try:
        document = read_yaml(source, name) if isinstance(source, str) else read_file(source)
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    return parse(document, message_class, advise=advise)


def parse(document: Document, message_class: type[M], *, advise: Callable[[str], str] | None = None) -> Parsed[M]:
    """Make a message of a document; see ``load``."""
    walker = _Walker(document, advise)
    message = message_class()
    spot = walker.fill(document.root, message, ())
    walker.wrong.raise_all()
    return Parsed(message, Positions(spot))


def merge(base: Parsed[M], overlay: Parsed[M]) -> Parsed[M]:
    """Lay one message over another as Envoy lays ``--config-yaml`` over the file: fields replace, lists grow."""
    message = type(base.message)()
    message.CopyFrom(base.message)
    message.MergeFrom(overlay.message)
    return Parsed(message, Positions(base.positions.root.merged(overlay.positions.root)))


class _Field:
    """What reading needs to know about a field."""

    __slots__ = ("convert", "descriptor", "key", "name", "null", "oneof", "repeated", "value")

    def __init__(self, descriptor: FieldDescriptor) -> None:
        message = descriptor.message_type
        self.descriptor = descriptor
        self.name = descriptor.name
        self.oneof = descriptor.containing_oneof.name if descriptor.containing_oneof is not None else ""
        self.null = message is not None and message.full_name == "google.protobuf.Value"
        self.repeated = descriptor.is_repeated
        self.convert: Convert | None = converter(descriptor) if message is None else None
        self.key: Convert | None = None
        self.value: _Field | None = None
        if message is not None and self.repeated and message.GetOptions().map_entry:
            key = message.fields_by_name["key"]
            self.key = to_text if key.cpp_type == FieldDescriptor.CPPTYPE_STRING else converter(key)
            self.value = _Field(message.fields_by_name["value"])


@lru_cache(maxsize=4096)
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """Return the fields of a message by both of their names."""
    found: dict[str, _Field] = {}
    for descriptor_of_field in descriptor.fields:
        field = _Field(descriptor_of_field)
        found[descriptor_of_field.json_name] = field
        found[descriptor_of_field.name] = field
    return found


class _Walker:
    """Fills messages from nodes. It recurses as deep as the document, which is limited."""

    def __init__(self, document: Document, advise: Callable[[str], str] | None) -> None:
        self.file = document.file
        self.wrong = Complaints(document.file, document.errors, advise)

    def fill(self, node: Node, message: Any, path: Path) -> Spot:
        """Fill a message of any type."""
        special = _SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            return special(self, node, message, path)
        return self._message(node, message, path)

    def _message(self, node: Node, message: Any, path: Path, *, skip: str = "") -> Spot:
        """Fill an ordinary message from a mapping."""
        spot = Spot(self.file, node.line, node.column, Merge.FIELDS)
        descriptor = message.DESCRIPTOR
        if not isinstance(node, MappingNode):
            self.wrong.value(node, path, f"a mapping with the fields of {descriptor.full_name}")
            return spot
        fields = _fields(descriptor)
        oneofs: dict[str, tuple[str, Node]] = {}
        given: dict[str, Node] = {}
        for name, (key, value) in node.entries.items():
            if name == skip:
                continue
            field = fields.get(name)
            if field is None:
                self.wrong.unknown_field(name, key, descriptor, path)
                continue
            if isinstance(value, ScalarNode) and value.value is None and not field.null:
                continue
            if field.name in given:
                hint = f"first given at {self.wrong.place(given[field.name])}"
                self.wrong.error(key, (*path, field.name), f"field {name!r} is given again", "each field once", hint)
                continue
            given[field.name] = key
            if field.oneof:
                other, first = oneofs.setdefault(field.oneof, (field.name, key))
                if other != field.name:
                    what = f"{name!r} excludes {other!r}, which is given at {self.wrong.place(first)}"
                    self.wrong.error(key, (*path, field.name), what, f"one of the two ({field.oneof})")
                    continue
            child = self._field(value, message, field, (*path, field.name))
            spot.add(field.name, _at_key(child, key, value))
        return spot

    def _field(self, node: Node, message: Any, field: _Field, path: Path) -> Spot:
        if field.value is not None:
            return self._map(node, getattr(message, field.name), field, path)
        if field.repeated:
            return self._list(node, getattr(message, field.name), field, path)
        if field.convert is None:
            child = getattr(message, field.name)
            child.SetInParent()
            return self.fill(node, child, path)
        value = self._scalar(node, field.convert, path)
        if value is not _MISSING:
            setattr(message, field.name, value)
        return Spot(self.file, node.line, node.column)

    def _list(self, node: Node, container: Any, field: _Field, path: Path) -> Spot:
        spot = Spot(self.file, node.line, node.column, Merge.APPEND)
        for index, item in enumerate(node.items if isinstance(node, SequenceNode) else (node,)):
            at = (*path, index)
            if isinstance(item, ScalarNode) and item.value is None and not field.null:
                self.wrong.value(item, at, "a value")
            elif field.convert is None:
                spot.add(index, self.fill(item, container.add(), at))
            else:
                value = self._scalar(item, field.convert, at)
                if value is not _MISSING:
                    container.append(value)
                spot.add(index, Spot(self.file, item.line, item.column))
        return spot

    def _map(self, node: Node, container: Any, field: _Field, path: Path) -> Spot:
        spot = Spot(self.file, node.line, node.column, Merge.KEYS)
        if not isinstance(node, MappingNode):
            self.wrong.value(node, path, "a mapping")
            return spot
        assert field.key is not None
        assert field.value is not None
        for text, (key_node, value_node) in node.entries.items():
            at = (*path, text)
            try:
                key = field.key(text)
            except Refused as refused:
                self.wrong.error(key_node, at, f"key {text!r} of {named(path)}", refused.expected, refused.hint)
                continue
            absent = isinstance(value_node, ScalarNode) and value_node.value is None and not field.value.null
            if field.value.convert is None:
                child = container[key]
                inner = self._spot(key_node) if absent else self.fill(value_node, child, at)
                spot.add(text, _at_key(inner, key_node, value_node))
                continue
            value = field.value.descriptor.default_value
            if not absent:
                value = self._scalar(value_node, field.value.convert, at)
            if value is not _MISSING:
                container[key] = value
            spot.add(text, self._spot(value_node))
        return spot

    def _scalar(self, node: Node, convert: Convert, path: Path) -> Any:
        if not isinstance(node, ScalarNode):
            try:
                convert(None)
            except Refused as refused:
                self.wrong.value(node, path, refused.expected)
            return _MISSING
        try:
            return convert(node.value)
        except Refused as refused:
            if refused.what:
                self.wrong.error(node, path, f"{refused.what} for {named(path)}", refused.expected, refused.hint)
            else:
                self.wrong.value(node, path, refused.expected, refused.hint)
            return _MISSING

    # -- messages that JSON writes in a way of their own -----------------------------------------------------------

    def _any(self, node: Node, message: Any, path: Path) -> Spot:
        spot = Spot(self.file, node.line, node.column)
        if not isinstance(node, MappingNode):
            self.wrong.value(node, path, f"a mapping with '{_TYPE}'")
            return spot
        if not node.entries:
            return spot
        expected = f"'{_TYPE}: type.googleapis.com/' and the full name of a message"
        if _TYPE not in node.entries:
            self.wrong.error(node, path, f"{named(path)} does not say its type", expected)
            return spot
        type_node = node.entries[_TYPE][1]
        url = self._scalar(type_node, to_text, (*path, _TYPE))
        if url is _MISSING:
            return spot
        host, _, type_name = url.rpartition("/")
        if not host or not type_name:
            self.wrong.error(type_node, (*path, _TYPE), f"{url!r} is not the type of a message", expected,
                        "put type.googleapis.com/ before it" if type_name else "")  # fmt: skip
            return spot
        made = messages.message_class(type_name)
        if made is None:
            self.wrong.unknown_type(type_node, (*path, _TYPE), type_name)
            return spot
        inner = made()
        spot = self._any_inner(node, inner, path)
        spot.merge = Merge.REPLACE
        spot.add(_TYPE, self._spot(type_node))
        message.type_url = url
        message.value = inner.SerializeToString(deterministic=True)
        return spot

    def _any_inner(self, node: MappingNode, inner: Any, path: Path) -> Spot:
        if inner.DESCRIPTOR.full_name not in _SPECIAL:
            return self._message(node, inner, path, skip=_TYPE)
        spot = self._spot(node)
        for name, (key, value) in node.entries.items():
            if name == "value":
                spot = self.fill(value, inner, path)
            elif name != _TYPE:
                what = f"unknown field {name!r} beside a {inner.DESCRIPTOR.full_name}"
                self.wrong.error(key, path, what, f"only '{_TYPE}' and 'value'")
        return spot

    def _duration(self, node: Node, message: Any, path: Path) -> Spot:
        if isinstance(node, MappingNode):
            return self._message(node, message, path)
        value = self._scalar(node, to_duration, path)  # type: ignore[arg-type]  # a pair, not a scalar of protobuf
        if value is not _MISSING:
            message.seconds, message.nanos = value
        return self._spot(node)

    def _from_json_string(self, node: Node, message: Any, path: Path) -> Spot:
        """Timestamps and field masks: a string that the message itself can read."""
        if isinstance(node, MappingNode):
            return self._message(node, message, path)
        text = self._scalar(node, to_text, path)
        if text is not _MISSING:
            try:
                message.FromJsonString(text)
            except ValueError:
                mask = message.DESCRIPTOR.full_name == "google.protobuf.FieldMask"
                self.wrong.value(node, path, "names of fields" if mask else 'a time such as "2026-01-31T12:00:00Z"')
        return self._spot(node)

    def _wrapper(self, node: Node, message: Any, path: Path) -> Spot:
        if isinstance(node, MappingNode):
            return self._message(node, message, path)
        field = _fields(message.DESCRIPTOR)["value"]
        assert field.convert is not None
        value = self._scalar(node, field.convert, path)
        if value is not _MISSING:
            message.value = value
        return self._spot(node)

    def _struct(self, node: Node, message: Any, path: Path) -> Spot:
        if not isinstance(node, MappingNode):
            self.wrong.value(node, path, "a mapping")
            return self._spot(node)
        spot = Spot(self.file, node.line, node.column, Merge.KEYS)
        for name, (key, value) in node.entries.items():
            spot.add(name, _at_key(self._value(value, message.fields[name], (*path, name)), key, value))
        return spot

    def _list_value(self, node: Node, message: Any, path: Path) -> Spot:
        if not isinstance(node, SequenceNode):
            self.wrong.value(node, path, "a list")
            return self._spot(node)
        spot = Spot(self.file, node.line, node.column, Merge.APPEND)
        for index, item in enumerate(node.items):
            spot.add(index, self._value(item, message.values.add(), (*path, index)))
        return spot

    def _value(self, node: Node, message: Any, path: Path) -> Spot:
        if isinstance(node, MappingNode):
            message.struct_value.SetInParent()
            return self._struct(node, message.struct_value, path)
        if isinstance(node, SequenceNode):
            message.list_value.SetInParent()
            return self._list_value(node, message.list_value, path)
        match node.value if isinstance(node, ScalarNode) else None:
            case None:
                message.null_value = 0
            case bool() as flag:
                message.bool_value = flag
            case str() as text:
                message.string_value = text
            case number:
                message.number_value = number
        return self._spot(node)

    def _spot(self, node: Node) -> Spot:
        return Spot(self.file, node.line, node.column)


def _at_key(spot: Spot, key: Node, value: Node) -> Spot:
    """Let a field that holds others be at its key: its value starts on another line, or at a bracket."""
    if not isinstance(value, ScalarNode):
        spot.line, spot.column = key.line, key.column
    return spot


_SPECIAL: dict[str, Callable[[_Walker, Node, Any, Path], Spot]] = {
    "google.protobuf.Any": _Walker._any,
    "google.protobuf.Duration": _Walker._duration,
    "google.protobuf.FieldMask": _Walker._from_json_string,
    "google.protobuf.ListValue": _Walker._list_value,
    "google.protobuf.Struct": _Walker._struct,
    "google.protobuf.Timestamp": _Walker._from_json_string,
    "google.protobuf.Value": _Walker._value,
    **{
        f"google.protobuf.{kind}Value": _Walker._wrapper
        for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
    },
}
