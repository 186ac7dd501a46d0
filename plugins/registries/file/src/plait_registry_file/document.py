"""The text of the file: from YAML or JSON to services and instances, and back.

    services:
      - name: catalogue            # with version and group, the key of the service
        version: ""
        group: ""
        protocol: http1
        metadata: {team: shop}
        instances:
          - address: 127.0.0.1:8080   # host:port, [ipv6]:port or unix:PATH
            weight: 1
            healthy: true
            zone: ""
            metadata: {}

Only ``services``, ``name`` and ``address`` must be there. What is wrong is told with its line and column, everything at
once. Text is taken as written: ``version: 1.10`` is ``1.10``. This module knows no file system beyond reading.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import yaml
from cattrs import AttributeValidationNote, ClassValidationError, Converter, IterableValidationError
from cattrs.errors import ForbiddenExtraKeysError

from plait import Address, ConfigError, ConfigErrors, Instance, Service
from plait.xds import MappingNode, Node, ScalarNode, SequenceNode, read_file

Path: TypeAlias = tuple[str | int, ...]
Picture: TypeAlias = dict[str, tuple[Service, tuple[Instance, ...]]]
"""Everything in a file: services by key, each with its instances."""


@attrs.frozen
class InstanceEntry:
    """One of ``instances``."""

    address: Address
    weight: int = 1
    healthy: bool = True
    zone: str = ""
    metadata: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class ServiceEntry:
    """One of ``services``."""

    name: str
    version: str = ""
    group: str = ""
    protocol: str = ""
    metadata: dict[str, str] = attrs.field(factory=dict)
    instances: tuple[InstanceEntry, ...] = ()


@attrs.frozen
class FileDocument:
    """The whole file."""

    services: tuple[ServiceEntry, ...]


def read(path: str) -> Picture:
    """What the file says now. Raises ``ConfigError`` when it cannot be read or is wrong in any part."""
    document = read_file(path)
    if document.errors:
        raise ConfigErrors(document.errors)
    if not isinstance(document.root, MappingNode):
        raise _error("the document is of the wrong kind", "a mapping", (), document.root, path)
    try:
        found = _CONVERTER.structure(_tree(document.root), FileDocument)
    except (ClassValidationError, IterableValidationError) as error:
        placed = [_placed(cause, where, document.root, path) for cause, where in _leaves(error, ())]
        problems = {str(problem): problem for problem in placed}.values()
        raise ConfigErrors(sorted(problems, key=lambda problem: (problem.line, problem.column))) from None
    return _picture(found, document.root, path)


def parse_address(text: str) -> Address:
    """``host:port``, ``[ipv6]:port`` or ``unix:PATH``; raises ``ValueError`` for anything else."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(path=text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {text!r} has no brackets around its IPv6 host")
    if not host or not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not an address")
    return Address(host, int(port))


def write(path: str, picture: Picture) -> str:
    """The text for the file called ``path``: YAML or JSON by its name, defaults left out."""
    services = []
    for service, instances in picture.values():
        entry = _without_defaults(service, Service(service.name))
        entry["name"] = service.name
        entry["instances"] = [
            {"address": str(instance.address), **_without_defaults(instance, Instance(instance.address))}
            for instance in instances
        ]
        services.append(entry)
    document = {"services": services}
    if path.lower().endswith((".yaml", ".yml")):
        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _without_defaults(thing: Service | Instance, default: Service | Instance) -> dict[str, Any]:
    fields = {field.name: getattr(thing, field.name) for field in attrs.fields(type(thing))}
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value != getattr(default, name)
    }


# from nodes to classes: mappings and lists become plain, scalars stay nodes so that a hook sees how they were written


def _tree(node: Node) -> Any:
    if isinstance(node, MappingNode):
        return {name: _tree(value) for name, (_, value) in node.entries.items() if not _is_null(value)}
    if isinstance(node, SequenceNode):
        return [_tree(item) for item in node.items]
    return node


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value is None


def _text(value: object, _: type) -> str:
    if isinstance(value, ScalarNode):
        return value.text
    if isinstance(value, str):  # a key
        return value
    raise ValueError("expected text")


def _whole(value: object, _: type) -> int:
    if isinstance(value, ScalarNode) and isinstance(value.value, int) and not isinstance(value.value, bool):
        return value.value
    raise ValueError("expected a whole number")


def _flag(value: object, _: type) -> bool:
    if isinstance(value, ScalarNode) and isinstance(value.value, bool):
        return value.value
    raise ValueError("expected true or false")


def _address(value: object, _: type) -> Address:
    return parse_address(_text(value, str))


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _flag)
    converter.register_structure_hook(Address, _address)
    return converter


_CONVERTER = _converter()


def _picture(found: FileDocument, root: Node, path: str) -> Picture:
    """Services by key, or every reason why they cannot be told apart or used."""
    picture: Picture = {}
    problems = []
    for index, entry in enumerate(found.services):
        where: Path = ("services", index)
        service = Service(entry.name, entry.version, entry.group, entry.protocol, entry.metadata)
        if not entry.name:
            problems.append(_error("the service has no name", "a name", (*where, "name"), root, path))
        elif service.key in picture:
            problems.append(_error(f"service {service.key!r} is given again", "each once", where, root, path))
        addresses = set()
        for number, instance in enumerate(entry.instances):
            at: Path = (*where, "instances", number)
            if instance.address in addresses:
                problems.append(_error(f"instance {instance.address} is given again", "each once", at, root, path))
            if not 1 <= instance.weight <= 1_000_000:
                what = f"weight is {instance.weight}"
                problems.append(_error(what, "1 to 1000000", (*at, "weight"), root, path))
            addresses.add(instance.address)
        picture[service.key] = (
            service,
            tuple(Instance(one.address, one.weight, one.healthy, one.zone, one.metadata) for one in entry.instances),
        )
    if problems:
        raise ConfigErrors(problems)
    return picture


# errors: cattrs says in which field, the nodes say where that was written


def _leaves(error: BaseException, path: Path) -> Iterator[tuple[Exception, Path]]:
    if isinstance(error, ClassValidationError | IterableValidationError):
        noted, others = error.group_exceptions()
        for cause, note in noted:
            step = note.name if isinstance(note, AttributeValidationNote) else note.index
            yield from _leaves(cause, (*path, step))
        for cause in others:
            yield from _leaves(cause, path)
    elif isinstance(error, Exception):
        yield error, path


def _placed(cause: Exception, where: Path, root: Node, file: str) -> ConfigError:
    if isinstance(cause, ForbiddenExtraKeysError):
        known = [attribute.name for attribute in attrs.fields(cause.cl)]
        extra = sorted(cause.extra_fields)[0]
        near = difflib.get_close_matches(extra, known, 1)
        hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(known)}"
        return _error(f"unknown field {extra!r}", "", (*where, extra), root, file, hint=hint)
    if where and isinstance(where[-1], str) and not isinstance(_find(root, where[:-1])[0], MappingNode):
        where, cause = where[:-1], TypeError()  # a field of something that has no fields
    field = where[-1]
    if isinstance(cause, KeyError):
        return _error(f"field {field!r} is missing", "", where, root, file)
    if isinstance(cause, ValueError):
        what, wanted, expected = str(cause).partition("expected ")
        if wanted:
            return _error(f"{field!r} is of the wrong kind", expected, where, root, file)
        return _error(what, "host:port, [ipv6]:port or unix:PATH", where, root, file)
    expected = "a list" if field in ("services", "instances") else "a mapping"
    return _error(f"{field!r} is of the wrong kind", expected, where, root, file)


def _error(what: str, expected: str, where: Path, root: Node, file: str, *, hint: str = "") -> ConfigError:
    value, key = _find(root, where)
    place = key if what.startswith("unknown field") else value
    return ConfigError(what, expected=expected, hint=hint, file=file, line=place.line, column=place.column, path=where)


def _find(root: Node, where: Path) -> tuple[Node, Node]:
    """The node at ``where``, or the nearest around it that is there, and its key's (or its own, without a key)."""
    node = key = root
    for step in where:
        if isinstance(node, MappingNode) and step in node.entries:
            key, node = node.entries[str(step)]
        elif isinstance(node, SequenceNode) and isinstance(step, int):
            key = node = node.items[step]
        else:
            break
    return node, key
