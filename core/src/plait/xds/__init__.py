"""The config store, its sources, and the one translation from Envoy's protobufs to the frozen model.

Names are imported when they are first used: workers and the supervisor need ``plait.xds.store`` alone, and neither
YAML nor protobuf with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plait.xds.document import Document, MappingNode, Node, ScalarNode, SequenceNode, read_file

__all__ = ["Document", "MappingNode", "Node", "ScalarNode", "SequenceNode", "read_file"]

_MODULES = {
    "Document": "document",
    "MappingNode": "document",
    "Node": "document",
    "ScalarNode": "document",
    "SequenceNode": "document",
    "read_file": "document",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
