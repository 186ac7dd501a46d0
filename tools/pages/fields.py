"""Finds out which fields of Envoy's messages are read: translates messages with one part set after the other.

Every translation says which fields of a message it handles (``Translator.only``); this listens to them. Nothing here
knows a field by name, so nothing has to be kept up to date.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
from google.protobuf.json_format import ParseDict

from plait.api.errors import PlaitError
from plait.plugins import KINDS, Catalogue, discover
from plait.xds import Positions, Translator, Where
from plait.xds.messages import message_class
from plait.xds.translate.bootstrap import bootstrap
from plait.xds.translate.cluster import cluster
from plait.xds.translate.endpoint import load_assignment
from plait.xds.translate.listener import listener
from plait.xds.translate.route import route_configuration

DEPTH = 5

_OWN: dict[str, Any] = {
    "envoy.config.listener.v3.Listener": listener,
    "envoy.config.route.v3.RouteConfiguration": route_configuration,
    "envoy.config.endpoint.v3.ClusterLoadAssignment": load_assignment,
    "envoy.config.cluster.v3.Cluster": cluster,
    "envoy.config.bootstrap.v3.Bootstrap": bootstrap,
}
_NEEDED: dict[str, dict[str, Any]] = {
    "envoy.config.cluster.v3.Cluster": {"name": "a"},
    "envoy.config.core.v3.HealthCheck": {
        "timeout": "1s",
        "interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
    },
    "envoy.config.listener.v3.Listener": {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "a"}]}],
    },
    "envoy.config.route.v3.RouteConfiguration": {"name": "a"},
    "envoy.config.route.v3.VirtualHost": {"name": "a", "domains": ["a"]},
    "envoy.config.route.v3.Route": {"match": {"prefix": "/"}, "redirect": {}},
    "envoy.config.route.v3.HeaderMatcher": {"name": "a"},
    "envoy.config.route.v3.QueryParameterMatcher": {"name": "a"},
}
"""What nothing else of a message is looked at without."""

_REFUSED = re.compile(r"field '(\w+)' is not supported yet by plait")


@attrs.define
class Fields:
    """The fields of one message."""

    handled: set[str] = attrs.field(factory=set)
    no_effect: dict[str, str] = attrs.field(factory=dict)
    refused: set[str] = attrs.field(factory=set)
    """Those that are handled by a refusal of their own."""

    @property
    def supported(self) -> list[str]:
        """Those that do what Envoy's documentation says, or are refused for their value."""
        return sorted(self.handled - self.refused)


class Listening(Translator):
    """A translator that remembers what translations say they handle."""

    def __init__(self, catalogue: Catalogue, found: dict[str, Fields]) -> None:
        super().__init__(catalogue)
        self._found = found

    def only(
        self, message: Any, where: Where, handled: Collection[str], no_effect: Mapping[str, str] | None = None
    ) -> None:
        descriptor = message.DESCRIPTOR
        fields = self._found.setdefault(descriptor.full_name, Fields())
        fields.handled |= set(handled) & {field.name for field in descriptor.fields}
        fields.no_effect |= no_effect or {}

    def warn(self, where: Where, text: str) -> None:
        pass


def found() -> dict[str, dict[str, Fields]]:
    """The messages that are looked at in each message that something answers for, all by their full names."""
    catalogue = Catalogue(discover())
    for info in catalogue.plugins:
        catalogue.load(info.id)
    roots: dict[str, Any] = dict(_OWN)
    for registered in _registered(catalogue):
        for proto, translate in (("proto", "translate"), ("route_proto", "route_translate")):
            name, target = getattr(registered, proto, ""), getattr(registered, translate, "")
            if name and target:
                module, _, function = target.partition(":")
                roots.setdefault(name, getattr(importlib.import_module(module), function))
    return {name: _looked_at(name, translate, catalogue) for name, translate in roots.items()}


def _registered(catalogue: Catalogue) -> Iterator[Any]:
    for category in dict.fromkeys(category for kind in KINDS.values() for category in kind.categories):
        registered: Mapping[str, Any] = catalogue.registered(category)
        yield from (registered[name][0] for name in sorted(registered))


def _looked_at(name: str, translate: Any, catalogue: Catalogue) -> dict[str, Fields]:
    made = message_class(name)
    assert made is not None, name
    known: dict[str, Fields] = {}
    message: Any = made()
    for _ in _filled(message, DEPTH):
        translator = Listening(catalogue, known)
        with contextlib.suppress(PlaitError), translator.collect():
            translate(message, Where(Positions.nowhere("")), translator)
        for error in translator.errors:
            field = _REFUSED.match(error.what)
            if field and error.path == (field[1],):
                known[name].refused.add(field[1])
    return {one: fields for one, fields in known.items() if fields.supported or fields.no_effect}


def _filled(message: Any, depth: int, chain: tuple[str, ...] = ()) -> Iterator[None]:
    """Set one message inside ``message`` after the other, with names and addresses where something needs them."""
    name = message.DESCRIPTOR.full_name
    yield
    needed = type(message)()
    ParseDict(_NEEDED.get(name, {}), needed)
    message.MergeFrom(needed)
    yield
    if depth == 0 or chain.count(name) > 1:
        return
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.message_type.full_name.startswith("google.protobuf."):
            continue
        if field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type is None or value.message_type.full_name.startswith("google.protobuf."):
                continue
            key = field.message_type.fields_by_name["key"]
            child = getattr(message, field.name)["a" if key.cpp_type == key.CPPTYPE_STRING else 1]
        elif field.is_repeated:
            child = getattr(message, field.name).add()
        else:
            child = getattr(message, field.name)
            child.SetInParent()
        yield from _filled(child, depth - 1, (*chain, name))
        message.ClearField(field.name)
        message.MergeFrom(needed)
