"""envoy.extensions.filters.network.generic_proxy.v3.RouteConfiguration: virtual hosts, each with a tree of matchers.

The result is the model that HTTP's routes have too. The vocabulary of the trees is in ``inputs`` and ``actions``.
"""

from __future__ import annotations

from typing import Any

from plait import RouteConfiguration, VirtualHost
from plait.xds import Translator, Vocabulary, Where, matcher_tree
from plait_protocol_generic.actions import route_action
from plait_protocol_generic.inputs import custom_match, match_input


class RpcVocabulary(Vocabulary):
    """Inputs are those of a call, actions routes."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator

    def input(self, name: str, packed: Any, where: Where) -> Any:
        """A part of the call, None for the whole of it."""
        return match_input(packed, where, self._translator)

    def custom(self, name: str, packed: Any, where: Where, input: Any) -> Any:
        """Envoy's matcher of a whole call."""
        return custom_match(packed, where, input, self._translator)

    def action(self, name: str, packed: Any, where: Where) -> object:
        """A route."""
        return route_action(name, packed, where, self._translator)


def route_configuration(message: Any, where: Where, translator: Translator) -> RouteConfiguration:
    """The route table; ``routes`` beside the virtual hosts are those of the host ``*``."""
    translator.only(message, where, {"name", "routes", "virtual_hosts"})
    vocabulary = RpcVocabulary(translator)
    hosts: list[VirtualHost] = []
    _check_unique(message.virtual_hosts, where / "virtual_hosts", translator)
    for index, one in enumerate(message.virtual_hosts):
        with translator.collect():
            hosts.append(_virtual_host(one, where / "virtual_hosts" / index, translator, vocabulary))
    if message.HasField("routes"):
        at = where / "routes"
        if any("*" in one.hosts for one in message.virtual_hosts):
            translator.report(at.error("'routes' excludes a virtual host '*'", expected="one of the two"))
        with translator.collect():
            hosts.append(VirtualHost("*", ("*",), matcher=matcher_tree(message.routes, at, translator, vocabulary)))
    return RouteConfiguration(message.name, tuple(hosts), any_case=False)


def _virtual_host(message: Any, where: Where, translator: Translator, vocabulary: Vocabulary) -> VirtualHost:
    translator.only(message, where, {"name", "hosts", "routes"})
    if not message.name:
        translator.report((where / "name").error("the virtual host has no name", expected="a name of its own"))
    if not message.hosts:
        translator.report(where.error("the virtual host has no hosts", expected='at least one, such as "*"'))
    for index, host in enumerate(message.hosts):
        if not host or "*" in host[1:-1] or host == "**" or (len(host) > 1 and host[0] == host[-1] == "*"):
            at = where / "hosts" / index
            translator.report(at.error(f"host {host!r} is not understood", expected="name, *name, name* or *"))
    if not message.HasField("routes"):
        raise where.error("the virtual host has no routes", expected="routes: and a matcher")
    tree = matcher_tree(message.routes, where / "routes", translator, vocabulary)
    return VirtualHost(message.name, tuple(message.hosts), matcher=tree)


def _check_unique(hosts: Any, where: Where, translator: Translator) -> None:
    """Report hosts that are there twice."""
    seen: dict[str, Where] = {}
    for index, one in enumerate(hosts):
        for number, host in enumerate(one.hosts):
            at = where / index / "hosts" / number
            first = seen.setdefault(host, at)
            if first is not at:
                hint = f"first given at {first.position}"
                translator.report(at.error(f"host {host!r} is there twice", "each host once", hint))
