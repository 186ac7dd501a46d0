"""A message that a TypedStruct spells out, read as if it had been written in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from plait.xds.document import Document, MappingNode, Node, ScalarNode, SequenceNode
from plait.xds.parse import Parsed, parse
from plait.xds.positions import Where


def spelt_out(mapping: Mapping[str, Any], message_class: type[Message], where: Where) -> Parsed[Any]:
    """The message, and where its fields are; ``mapping`` was written at ``where``. Raises ConfigErrors."""
    return parse(Document(where.position.file, _node(mapping, where), []), message_class)


def _node(value: Any, where: Where) -> Node:
    at = where.position
    if isinstance(value, Mapping):
        mapping = MappingNode(at.line, at.column)
        for name, item in value.items():
            node = _node(item, where / name)
            mapping.entries[name] = (ScalarNode(name, name, node.line, node.column), node)
        return mapping
    if isinstance(value, list):
        sequence = SequenceNode(at.line, at.column)
        sequence.items += [_node(item, where / index) for index, item in enumerate(value)]
        return sequence
    return ScalarNode(value, str(value), at.line, at.column)
