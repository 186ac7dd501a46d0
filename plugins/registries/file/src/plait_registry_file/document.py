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
once. ``version: 1.10`` is the text ``1.10``, as written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs
import yaml

from plait import Address, ConfigError, ConfigErrors, Instance, Service
from plait.plugins import structure
from plait.xds import MappingNode, Node, ScalarNode, SequenceNode, read_file

Path: TypeAlias = tuple[str | int, ...]
Picture: TypeAlias = dict[str, tuple[Service, tuple[Instance, ...]]]
"""Everything in a file: services by key, each with its instances."""


@attrs.frozen
class InstanceEntry:
    """One of ``instances``."""

    address: str
    weight: int = 1
    healthy: bool = True
    zone: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class ServiceEntry:
    """One of ``services``."""

    name: str
    version: str = ""
    group: str = ""
    protocol: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    instances: tuple[InstanceEntry, ...] = ()


@attrs.frozen
class FileDocument:
    """The whole file."""

    services: tuple[ServiceEntry, ...]


def read(path: str) -> Picture:
    """What the file says now. Raises ``ConfigErrors`` with all that is wrong, each at its line and column."""
    document = read_file(path)
    if document.errors:
        raise ConfigErrors(document.errors)
    root = document.root
    try:
        if not isinstance(root, MappingNode):
            raise ConfigError("the document is no mapping", expected="a mapping with services")
        return _picture(structure(FileDocument, _plain(root)))
    except ConfigErrors as errors:
        raise ConfigErrors([_at(error, root, path) for error in errors.errors]) from None
    except ConfigError as error:
        raise _at(error, root, path) from None


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
        entries = [
            {"address": str(instance.address), **_without_defaults(instance, Instance(instance.address))}
            for instance in instances
        ]
        services.append(
            {"name": service.name, **_without_defaults(service, Service(service.name)), "instances": entries}
        )
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


def _picture(document: FileDocument) -> Picture:
    """Services by key; raises ``ConfigErrors`` with every reason why they cannot be told apart or used."""
    picture: Picture = {}
    problems = []
    for index, entry in enumerate(document.services):
        where: Path = ("services", index)
        service = Service(entry.name, entry.version, entry.group, entry.protocol, entry.metadata)
        if not entry.name:
            problems.append(ConfigError("the service has no name", expected="a name", path=(*where, "name")))
        elif service.key in picture:
            what = f"service {service.key!r} is given again"
            problems.append(ConfigError(what, expected="each once", path=where))
        instances: dict[Address, Instance] = {}
        for number, one in enumerate(entry.instances):
            at: Path = (*where, "instances", number)
            try:
                address = parse_address(one.address)
            except ValueError as error:
                expected = "host:port, [ipv6]:port or unix:PATH"
                problems.append(ConfigError(str(error), expected=expected, path=(*at, "address")))
                continue
            if address in instances:
                problems.append(ConfigError(f"instance {address} is given again", expected="each once", path=at))
            if not 1 <= one.weight <= 1_000_000:
                what = f"weight is {one.weight}"
                problems.append(ConfigError(what, expected="1 to 1000000", path=(*at, "weight")))
            instances[address] = Instance(address, one.weight, one.healthy, one.zone, one.metadata)
        picture[service.key] = (service, tuple(instances.values()))
    if problems:
        raise ConfigErrors(problems)
    return picture


def _plain(node: Node) -> Any:
    """The tree without its places; a field that is null is not there."""
    if isinstance(node, MappingNode):
        values = {name: _plain(value) for name, (_, value) in node.entries.items()}
        return {name: value for name, value in values.items() if value is not None}
    if isinstance(node, SequenceNode):
        return [_plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


def _at(error: ConfigError, root: Node, file: str) -> ConfigError:
    """The error with its place in the text: of the field it is about, or of the nearest around that."""
    node = root
    for step in error.path:
        if isinstance(node, MappingNode) and step in node.entries:
            key, value = node.entries[str(step)]
            node = key if step == error.path[-1] and error.what.startswith("unknown field") else value
        elif isinstance(node, SequenceNode) and isinstance(step, int):
            node = node.items[step]
        else:
            break
    return ConfigError(
        error.what,
        expected=error.expected,
        hint=error.hint,
        file=file,
        line=node.line,
        column=node.column,
        path=error.path,
    )
