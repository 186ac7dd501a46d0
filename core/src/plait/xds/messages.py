"""From the name of a message type to its class, importing only the generated module that defines it.

``xds-protos`` has more than six hundred modules, and a configuration uses a few of them. Its folders follow the
packages (``envoy.extensions.filters.http.router.v3.Router`` is in ``envoy/extensions/filters/http/router/v3``), and
each module names its messages, so the right one is found by reading. Types of modules that somebody imported already
are found first, whoever ships them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

_ROOTS = ("envoy", "google", "udpa", "xds")
"""Top-level packages that a type's name may make us import from: a configuration must not choose any module at all."""

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)


def message_class(type_name: str) -> type[Message] | None:
    """Return the class of a message type by its full name, or None if no installed module defines it."""
    descriptor = _imported(type_name)
    if descriptor is None:
        for module in _candidates(type_name):
            importlib.import_module(module)
            descriptor = _imported(type_name)
            if descriptor is not None:
                break
        else:
            return None
    return message_factory.GetMessageClass(descriptor)


def type_name(type_url: str) -> str:
    """Return the full name in an Any's type URL: what follows its last slash."""
    return type_url.rpartition("/")[2]


def unpack(packed: Any) -> Message | None:
    """Return the message in an Any, or None if its type is unknown or its bytes are not one."""
    made = message_class(type_name(packed.type_url))
    if made is None:
        return None
    try:
        return made.FromString(packed.value)
    except DecodeError:
        return None


def siblings(type_name: str) -> list[str]:
    """Return the full names of the messages in the same package; for suggestions, so slow is fine."""
    package = type_name.rpartition(".")[0]
    names = []
    for path in _modules(package):
        module = importlib.import_module(f"{package}.{path.stem}")
        names += [message.full_name for message in module.DESCRIPTOR.message_types_by_name.values()]
    return names


def _imported(type_name: str) -> Descriptor | None:
    try:
        return descriptor_pool.Default().FindMessageTypeByName(type_name)
    except KeyError:
        return None


def _candidates(type_name: str) -> list[str]:
    """Return the modules to import for a type, best first; usually it is exactly one.

    Generated code sets an attribute of ``_globals['_ROUTER']`` for every message; a nested one is ``_OUTER_INNER``.
    """
    if not _NAME.fullmatch(type_name):
        return []
    parts = type_name.split(".")
    found = []
    for end in range(len(parts) - 1, 0, -1):
        package = ".".join(parts[:end])
        mark = f"_globals['_{'_'.join(parts[end:]).upper()}']"
        found += [f"{package}.{path.stem}" for path in _modules(package) if mark in path.read_text("utf-8")]
        if found:
            break
    return found


def _modules(package: str) -> list[Path]:
    """Return the generated modules in the folder of a package, without importing the packages above it."""
    root, _, rest = package.partition(".")
    if root not in _ROOTS:
        return []
    spec = importlib.util.find_spec(root)
    places = spec.submodule_search_locations if spec is not None else None
    folders = [Path(place, *rest.split(".")) if rest else Path(place) for place in places or ()]
    return sorted(path for folder in folders if folder.is_dir() for path in folder.glob("*_pb2.py"))
