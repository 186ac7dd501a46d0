"""``mesh config``: looks at configurations; ``show`` prints what one means."""

from __future__ import annotations

import argparse
import enum
import json
from collections.abc import Mapping
from typing import Any

import attrs

from plait.api.extension import CommandType
from plait.cli.exits import Exit
from plait.cli.options import add_configuration, checked_options


def configure(parser: argparse.ArgumentParser) -> None:
    """One verb below this one as yet."""
    verbs = parser.add_subparsers(dest="config_verb", metavar="VERB", required=True)
    summary = "Print the frozen model that a configuration becomes, defaults and all"
    show = verbs.add_parser("show", help=summary, description=summary, allow_abbrev=False)
    add_configuration(show)
    show.add_argument("--format", choices=("yaml", "json"), default="yaml", help="how it is written")


def run(arguments: argparse.Namespace) -> int:
    """Print the model."""
    from plait import runtime

    model = plain(runtime.validate(checked_options(arguments)))
    if arguments.format == "json":
        print(json.dumps(model, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(model, sort_keys=False, allow_unicode=True, width=120), end="")
    return Exit.OK


def plain(value: object) -> object:
    """The value as JSON has it; objects say their class in ``@type``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value, key=repr)]
    cls: Any = type(value)
    if attrs.has(cls):
        return {
            "@type": _type_name(cls),
            **{field.name: plain(getattr(value, field.name)) for field in attrs.fields(cls)},
        }
    return repr(value)


def _type_name(cls: type) -> str:
    module = cls.__module__
    return f"plait.{cls.__qualname__}" if module.startswith("plait.api.") else f"{module}.{cls.__qualname__}"


COMMAND = CommandType("config", "Look at a configuration", configure, run)
