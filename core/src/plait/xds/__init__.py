"""The config store, its sources, and the one translation from Envoy's protobufs to the frozen model.

What translators of plugins need is here: ``Translator``, ``Where`` and the functions for parts of messages. Names are
imported when they are first used: the store alone takes neither protobuf nor a YAML parser.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.xds.document import Document, MappingNode, Node, ScalarNode, SequenceNode
    from plait.xds.files import read_file
    from plait.xds.load import load_bootstrap
    from plait.xds.positions import Position, Positions, Where, did_you_mean
    from plait.xds.translate.address import address
    from plait.xds.translate.extensions import Settings
    from plait.xds.translate.headers import header_op, header_ops
    from plait.xds.translate.matcher_tree import Vocabulary, matcher_tree
    from plait.xds.translate.matchers import header_matcher, query_matcher, string_matcher
    from plait.xds.translate.route import metadata, route
    from plait.xds.translate.route_action import back_off, forward, previous_hosts, retry_policy, weighted_clusters
    from plait.xds.translate.values import (
        cidr,
        data_source,
        duration_s,
        enum_name,
        millionths,
        plain,
        regex_matcher,
        runtime_fraction,
        seconds,
        substitution,
        wrapped,
    )
    from plait.xds.translator import Translator

__all__ = [
    "Document",
    "MappingNode",
    "Node",
    "Position",
    "Positions",
    "ScalarNode",
    "SequenceNode",
    "Settings",
    "Translator",
    "Vocabulary",
    "Where",
    "address",
    "back_off",
    "cidr",
    "data_source",
    "did_you_mean",
    "duration_s",
    "enum_name",
    "forward",
    "header_matcher",
    "header_op",
    "header_ops",
    "load_bootstrap",
    "matcher_tree",
    "metadata",
    "millionths",
    "plain",
    "previous_hosts",
    "query_matcher",
    "read_file",
    "regex_matcher",
    "retry_policy",
    "route",
    "runtime_fraction",
    "seconds",
    "string_matcher",
    "substitution",
    "weighted_clusters",
    "wrapped",
]

_MODULES = {
    "document": ("Document", "MappingNode", "Node", "ScalarNode", "SequenceNode"),
    "files": ("read_file",),
    "load": ("load_bootstrap",),
    "positions": ("Position", "Positions", "Where", "did_you_mean"),
    "translate.address": ("address",),
    "translate.headers": ("header_op", "header_ops"),
    "translate.extensions": ("Settings",),
    "translate.matcher_tree": ("Vocabulary", "matcher_tree"),
    "translate.matchers": ("header_matcher", "query_matcher", "string_matcher"),
    "translate.route": ("metadata", "route"),
    "translate.route_action": ("back_off", "forward", "previous_hosts", "retry_policy", "weighted_clusters"),
    "translate.values": (
        "cidr", "data_source", "duration_s", "enum_name", "millionths", "plain", "regex_matcher", "runtime_fraction",
        "seconds", "substitution", "wrapped",
    ),
    "translator": ("Translator",),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
