"""Third-party settings: a plain mapping becomes the plugin's own attrs class, or a list of what is wrong with it.

cattrs walks the classes; the hooks here make it strict (no text for numbers' sake, no number for text's) where its own
are lenient. Numbers come as JSON and protobuf's Struct have them: 3.0 is a whole number, and digits in quotes are one.
cattrs is imported with the first call, never in workers.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from plait.api.errors import ConfigError, ConfigErrors, PluginError

Path = tuple[str | int, ...]

_SEQUENCES: Mapping[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Set: frozenset,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class _Wrong(ValueError):
    """A value of the wrong type: ``expected`` says which would be right."""

    def __init__(self, value: object, expected: str, hint: str = "") -> None:
        self.value = value
        self.expected = expected
        self.hint = hint
        super().__init__(expected)


def structure(registered: Any, mapping: Mapping[str, object]) -> Any:
    """An object of the settings class of ``registered`` (``FilterType`` …, or the attrs class itself) from ``mapping``.

    Raises ConfigErrors with one error for each thing wrong, whose ``path`` leads from the mapping to the field; and
    PluginError when the settings class itself cannot be read from configuration.
    """
    settings = registered if isinstance(registered, type) else registered.settings
    name = registered.__name__ if isinstance(registered, type) else registered.name
    if settings is None:
        if mapping:
            raise ConfigErrors(
                [ConfigError(f"{name} has no settings", expected="no fields", path=(next(iter(mapping)),))]
            )
        return None
    from cattrs.errors import StructureHandlerNotFoundError

    try:
        return _converter().structure(mapping, settings)
    except Exception as error:
        problems: list[ConfigError] = []
        for path, leaf, owner in _leaves(error, (), settings):
            if isinstance(leaf, StructureHandlerNotFoundError | NameError):
                where = f" field {_dotted(path)}" if path else ""
                cause = f"its settings class {settings.__name__}{where} cannot be read from configuration: {leaf}"
                raise PluginError(name, cause, remedy="report this to its authors") from error
            problems += _problems(path, leaf, owner)
        raise ConfigErrors(problems) from error


def _leaves(error: BaseException, path: Path, owner: Any) -> list[tuple[Path, BaseException, Any]]:
    from cattrs.errors import ClassValidationError, IterableValidationError, IterableValidationNote

    if not isinstance(error, ClassValidationError | IterableValidationError):
        return [(path, error, owner)]
    noted, others = error.group_exceptions()
    leaves: list[tuple[Path, BaseException, Any]] = []
    for inner, note in noted:
        step = note.index if isinstance(note, IterableValidationNote) else note.name
        leaves += _leaves(inner, (*path, step), error.cl)
    for other in others:
        leaves.append((path, other, error.cl))
    return leaves


def _problems(path: Path, leaf: BaseException, owner: Any) -> list[ConfigError]:
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(leaf, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(leaf.cl) if field.init]
        return [
            ConfigError(
                f"unknown field {str(name)!r}",
                expected=f"one of {', '.join(known)}" if known else "no fields",
                hint=_did_you_mean(str(name), known),
                path=(*path, str(name)),
            )
            for name in sorted(leaf.extra_fields)
        ]
    if isinstance(leaf, KeyError) and path:
        expected = ""
        if isinstance(owner, type) and attrs.has(owner):
            expected = next((type_name(field.type) for field in attrs.fields(owner) if field.name == path[-1]), "")
        return [ConfigError(f"field {_dotted(path)!r} is missing", expected=expected, path=path[:-1])]
    where = f"field {_dotted(path)!r}" if path else "the settings"
    if isinstance(leaf, _Wrong):
        return [ConfigError(f"{where} is {_shown(leaf.value)}", expected=leaf.expected, hint=leaf.hint, path=path)]
    text = leaf.args[0] if leaf.args and isinstance(leaf.args[0], str) else str(leaf)
    return [ConfigError(f"{where}: {text}", path=path)]


def type_name(annotation: Any) -> str:
    """A type as a person who writes configuration calls it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_union(annotation):
        return " or ".join(type_name(part) for part in arguments if part is not types.NoneType)
    if origin is typing.Literal:
        return f"one of {', '.join(repr(word) for word in arguments)}"
    if (origin or annotation) in _SEQUENCES:
        return f"a list of {type_name(arguments[0])}" if arguments else "a list"
    if (origin or annotation) in _MAPPINGS:
        return "a mapping"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"one of {', '.join(repr(member.value) for member in annotation)}"
    if isinstance(annotation, type) and attrs.has(annotation):
        return f"a mapping ({annotation.__name__})"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", bytes: "text"}
    return words.get(annotation, str(getattr(annotation, "__name__", annotation)))


@functools.cache
def _converter() -> Any:
    import cattrs
    from cattrs.gen import make_dict_structure_fn

    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)

    def classes(cls: Any) -> Callable[[Any, Any], Any]:
        inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True)

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, Mapping):
                raise _Wrong(value, type_name(cls))
            return inner(value, cls)

        return hook

    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bytes, lambda value, _: _text(value, str).encode())
    converter.register_structure_hook_func(lambda cls: cls in (object, Any), lambda value, _: value)
    converter.register_structure_hook_func(_is_choice, _choice)
    converter.register_structure_hook_func(_is_plain_union, lambda value, cls: _any_of(converter, value, cls))
    converter.register_structure_hook_func(_is_sequence, lambda value, cls: _sequence(converter, value, cls))
    converter.register_structure_hook_func(_is_mapping, lambda value, cls: _mapping(converter, value, cls))
    converter.register_structure_hook_factory(lambda cls: isinstance(cls, type) and attrs.has(cls), classes)
    return converter


def _boolean(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(value, "true or false")
    return value


def _integer(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value):
        return int(value)
    raise _Wrong(value, "a whole number")


def _number(value: Any, _: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", value):
        number = float(value)
        if math.isfinite(number):
            return number
    raise _Wrong(value, "a number")


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Wrong(
        value, "text", "" if value is None or isinstance(value, list | tuple | Mapping) else "put it in quotes"
    )


def _is_union(cls: Any) -> bool:
    return typing.get_origin(cls) in (typing.Union, types.UnionType)


def _is_plain_union(cls: Any) -> bool:
    """A union, unless it is the plain ``X | None`` of anything, or has two classes that look alike."""
    if not _is_union(cls):
        return False
    return sum(1 for part in typing.get_args(cls) if isinstance(part, type) and attrs.has(part)) <= 1


def _any_of(converter: Any, value: Any, cls: Any) -> Any:
    parts = typing.get_args(cls)
    if value is None and types.NoneType in parts:
        return None
    parts = tuple(part for part in parts if part is not types.NoneType)
    if len(parts) == 1:
        return converter.structure(value, parts[0])
    exact = sorted(parts, key=lambda part: part is str)  # text last: it would take nothing else's place
    for part in exact:
        if part in (int, float) and isinstance(value, str) and str in parts:
            continue
        try:
            return converter.structure(value, part)
        except _Wrong:
            continue
    raise _Wrong(value, type_name(cls))


def _is_choice(cls: Any) -> bool:
    return typing.get_origin(cls) is typing.Literal or (isinstance(cls, type) and issubclass(cls, enum.Enum))


def _choice(value: Any, cls: Any) -> Any:
    literal = typing.get_origin(cls) is typing.Literal
    choices = {word: word for word in typing.get_args(cls)} if literal else {member.value: member for member in cls}
    for word, member in choices.items():
        if value == word and isinstance(value, bool) == isinstance(word, bool):
            return member
    hint = _did_you_mean(value, [word for word in choices if isinstance(word, str)]) if isinstance(value, str) else ""
    raise _Wrong(value, type_name(cls), hint)


def _is_sequence(cls: Any) -> bool:
    return (typing.get_origin(cls) or cls) in _SEQUENCES


def _sequence(converter: Any, value: Any, cls: Any) -> Any:
    from cattrs.errors import IterableValidationError, IterableValidationNote

    if not isinstance(value, list | tuple):
        raise _Wrong(value, type_name(cls))
    origin, arguments = typing.get_origin(cls) or cls, typing.get_args(cls)
    kinds: list[Any] = [arguments[0] if arguments else Any] * len(value)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _Wrong(value, f"a list of {len(arguments)}")
        kinds = list(arguments)
    result, errors = [], []
    for index, (item, kind) in enumerate(zip(value, kinds, strict=True)):
        try:
            result.append(converter.structure(item, kind))
        except Exception as error:  # noqa: BLE001 - kept with its place, and raised with the others below
            error.add_note(IterableValidationNote(f"at {index}", index, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("list", errors, cls)
    return _SEQUENCES[origin](result)


def _is_mapping(cls: Any) -> bool:
    return (typing.get_origin(cls) or cls) in _MAPPINGS


def _mapping(converter: Any, value: Any, cls: Any) -> Any:
    from cattrs.errors import IterableValidationError, IterableValidationNote

    if not isinstance(value, Mapping):
        raise _Wrong(value, type_name(cls))
    key_kind, kind = typing.get_args(cls) or (str, Any)
    result, errors = {}, []
    for key, item in value.items():
        try:
            result[converter.structure(key, key_kind)] = converter.structure(item, kind)
        except Exception as error:  # noqa: BLE001 - kept with its place, and raised with the others below
            error.add_note(IterableValidationNote(f"at {key}", key, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("mapping", errors, cls)
    return result


def _dotted(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _shown(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else ""
