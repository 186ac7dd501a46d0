"""From the text of a bootstrap to the frozen model: reads, merges, translates and checks, or says all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plait.api.config import Bootstrap
from plait.api.errors import ConfigError, ConfigErrors
from plait.plugins.catalogue import Catalogue
from plait.plugins.known import KNOWN
from plait.xds.parse import Parsed, load, merge
from plait.xds.translate.bootstrap import bootstrap
from plait.xds.translator import Translator

OVERLAY = "--config-yaml"
"""What the text on the command line is called in messages."""


def load_bootstrap(
    path: str,
    text: str,
    catalogue: Catalogue,
    *,
    service_cluster: str = "",
    service_node: str = "",
    check_format: Callable[[str], object] = str,
) -> Bootstrap:
    """The configuration in the file ``path`` ("" for none), with the YAML ``text`` laid over it as Envoy does.

    ``service_cluster`` and ``service_node`` replace what the node says of itself; ``check_format`` raises ConfigError
    for a header's value that is no format string. Raises ``ConfigErrors`` with all that is wrong, first with the text
    (syntax, fields, types), and once it can be read with what it says; ``PluginError`` for a plugin that is there and
    cannot be used.
    """
    parsed = _read(path, text)
    translator = Translator(catalogue, check_format)
    with translator.collect():
        made = bootstrap(
            parsed.message, parsed.where, translator, service_cluster=service_cluster, service_node=service_node
        )
    translator.raise_all()
    return made


def _read(path: str, text: str) -> Parsed[Any]:
    from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap as Message

    wrong: list[ConfigError] = []
    parts: list[Parsed[Any]] = []
    sources: list[tuple[str | Path, str]] = [(Path(path), path)] if path else []
    sources += [(text, OVERLAY)] if text.strip() else []
    if not sources:
        raise ConfigErrors([ConfigError("there is no configuration", expected="-c FILE or --config-yaml TEXT")])
    for source, name in sources:
        try:
            parts.append(load(source, Message, name=name, advise=advise))
        except ConfigErrors as errors:
            wrong += errors.errors
    if wrong:
        raise ConfigErrors(wrong)
    return parts[0] if len(parts) == 1 else merge(*parts)


def advise(type_name: str) -> str:
    """What to install for a type that nothing here defines, if that is known."""
    distribution = KNOWN.get(type_name)
    return f"install the distribution {distribution}" if distribution else ""
