"""Every field of Envoy's messages is translated, refused or said to have no effect: none makes the translation fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict

from plait.api.errors import PlaitError
from plait.plugins import Catalogue
from plait.xds import Positions, Translator, Where
from plait.xds.messages import message_class
from plait.xds.translate.bootstrap import bootstrap
from plait.xds.translate.cluster import cluster
from plait.xds.translate.endpoint import load_assignment
from plait.xds.translate.listener import listener
from plait.xds.translate.route import route_configuration

ROOTS = {
    "envoy.config.bootstrap.v3.Bootstrap": (bootstrap, 3),
    "envoy.config.cluster.v3.Cluster": (cluster, 4),
    "envoy.config.endpoint.v3.ClusterLoadAssignment": (load_assignment, 5),
    "envoy.config.listener.v3.Listener": (listener, 4),
    "envoy.config.route.v3.RouteConfiguration": (route_configuration, 5),
}
_NEEDED: dict[str, dict[str, Any]] = {
    "envoy.config.cluster.v3.Cluster": {"name": "a"},
    "envoy.config.endpoint.v3.ClusterLoadAssignment": {"cluster_name": "a"},
    "envoy.config.listener.v3.Listener": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}},
}
"""What nothing else is looked at without."""

_TEXTS = ("", "a", "*", "(", "127.0.0.1", "\0")
_NUMBERS = (-1, 0, 1, 100_000)


def filled(message: Any, depth: int) -> Iterator[None]:
    """Set one field (and one of its own, and so on) of ``message`` after the other, as the iterator goes on."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _entry(message, field, depth)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            if field.is_repeated:
                child = child.add()
            else:
                child.SetInParent()
            yield
            if depth:
                yield from filled(child, depth - 1)
        else:
            for value in _values(field):
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    setattr(message, field.name, value)
                yield
        message.ClearField(field.name)


def _entry(message: Any, field: FieldDescriptor, depth: int) -> Iterator[None]:
    assert field.message_type is not None
    value = field.message_type.fields_by_name["value"]
    container = getattr(message, field.name)
    if value.message_type is None:
        container["a"] = next(iter(_values(value)))
        yield
    else:
        child = container["a"]
        yield
        if depth:
            yield from filled(child, depth - 1)


def _values(field: FieldDescriptor) -> tuple[Any, ...]:
    if field.enum_type is not None:
        return tuple(value.number for value in field.enum_type.values)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _TEXTS if field.type == FieldDescriptor.TYPE_STRING else (b"", b"a")
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return (True, False)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return _NUMBERS[1:]
    return _NUMBERS


@pytest.mark.parametrize("name", ROOTS)
def test_no_field_makes_the_translation_fail(name: str) -> None:
    translate: Any
    translate, depth = ROOTS[name]
    made = message_class(name)
    assert made is not None
    message: Any = made()
    ParseDict(_NEEDED.get(name, {}), message)
    needed = made.FromString(message.SerializeToString())
    catalogue = Catalogue(())
    tried = 0
    for _ in filled(message, depth):
        if any(not message.HasField(field.name) if field.has_presence else not getattr(message, field.name)
               for field, _ in needed.ListFields()):  # fmt: skip
            message.MergeFrom(needed)
        translator = Translator(catalogue)
        with contextlib.suppress(PlaitError):
            translate(message, Where(Positions.nowhere("f.yaml")), translator)
        tried += 1
    assert tried > 200
