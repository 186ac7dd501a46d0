"""Any part of the model as what JSON has: for ``/config_dump`` and for ``mesh config show``."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs


def plain(value: object, *, whole: bool = False) -> Any:
    """The value as JSON has it. ``whole`` shows every field of an object, and its class in ``@type``; without it,
    fields that have their default are left out.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, whole=whole) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, whole=whole) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item, whole=whole) for item in value), key=str)
    cls: Any = type(value)
    if not attrs.has(cls):
        return str(value)
    shown = {"@type": _type_name(cls)} if whole else {}
    for field in attrs.fields(cls):
        item = getattr(value, field.name)
        if whole or field.name == "name" or not _is_default(field, item):
            shown[field.name] = plain(item, whole=whole)
    return shown


def _type_name(cls: type) -> str:
    module = cls.__module__
    return f"plait.{cls.__qualname__}" if module.startswith("plait.api.") else f"{module}.{cls.__qualname__}"


def _is_default(field: attrs.Attribute[Any], value: Any) -> bool:
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs types Factory as a function
        return value in ({}, (), []) and not value
    return default is not attrs.NOTHING and type(default) is type(value) and bool(default == value)
