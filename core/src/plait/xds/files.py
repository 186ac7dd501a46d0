"""A file as a tree of nodes: YAML or JSON, by its name."""

from __future__ import annotations

import os
from pathlib import Path

from plait.api.errors import ConfigError
from plait.xds.document import Document


def read_file(path: str | os.PathLike[str]) -> Document:
    """Read a file: YAML if it is called ``.yaml`` or ``.yml``, else JSON, which is how Envoy tells them apart.

    Raises ``ConfigError`` if the file cannot be read, is not UTF-8 or has a syntax error.
    """
    name = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror or error}", file=name) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        raise ConfigError(f"byte 0x{raw[error.start]:02x} is not UTF-8", expected="a text file in UTF-8", file=name,
                          line=before.count("\n") + 1, column=len(before) - before.rfind("\n")) from error  # fmt: skip
    if name.lower().endswith((".yaml", ".yml")):
        from plait.xds.yaml_text import read_yaml

        return read_yaml(text, name)
    from plait.xds.json_text import read_json

    return read_json(text, name)
