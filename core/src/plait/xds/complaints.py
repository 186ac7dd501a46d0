"""The words for what is wrong with a value or a field, collected for one text and raised together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.descriptor import Descriptor

from plait.api.errors import ConfigError, ConfigErrors
from plait.xds import messages
from plait.xds.document import MappingNode, Node, ScalarNode, SequenceNode
from plait.xds.positions import Path, did_you_mean, dotted

_LISTED_FIELDS = 12
_SHOWN_CHARACTERS = 40


class UnknownType(ConfigError):
    """An ``Any`` names a message type that no installed distribution defines."""

    type_name: str = ""


class Complaints:
    """The errors of one text. ``advise`` gives a hint for an unknown type, or ""."""

    def __init__(self, file: str, errors: Sequence[ConfigError], advise: Callable[[str], str] | None) -> None:
        self._file = file
        self._errors = list(errors)
        self._advise = advise

    def raise_all(self) -> None:
        """Raise ``ConfigErrors`` in the order of the text, if there was any."""
        if self._errors:
            raise ConfigErrors(sorted(self._errors, key=lambda error: (error.line, error.column)))

    def place(self, node: Node) -> str:
        """Return the place of a node, for a hint."""
        return f"{self._file}:{node.line}:{node.column}"

    def error(self, node: Node, path: Path, what: str, expected: str, hint: str = "") -> None:
        """Say that something is wrong at a node."""
        self._errors.append(
            ConfigError(
                what, expected=expected, hint=hint, file=self._file, line=node.line, column=node.column, path=path
            )
        )

    def value(self, node: Node, path: Path, expected: str, hint: str = "") -> None:
        """Say that a value is of the wrong kind."""
        self.error(node, path, f"{named(path)} is {_shown(node)}", expected, hint)

    def unknown_field(self, name: str, key: Node, descriptor: Descriptor, path: Path) -> None:
        """Say that a message has no field of this name."""
        names = [field.name for field in descriptor.fields]
        hint = did_you_mean(name, names)
        if not names:
            expected = "no fields at all"
        elif hint or len(names) > _LISTED_FIELDS:
            expected = "a field of it"
        else:
            expected = f"one of {', '.join(names)}"
        self.error(key, (*path, name), f"unknown field {name!r} in {descriptor.full_name}", expected, hint)

    def unknown_type(self, node: Node, path: Path, type_name: str) -> None:
        """Say that the type of an Any is defined nowhere."""
        hint = self._advise(type_name) if self._advise is not None else ""
        error = UnknownType(
            f"unknown type {type_name!r}",
            expected="a message type of an installed distribution",
            hint=hint or did_you_mean(type_name, messages.siblings(type_name)),
            file=self._file,
            line=node.line,
            column=node.column,
            path=path,
        )
        error.type_name = type_name
        self._errors.append(error)


def named(path: Path) -> str:
    """Return the last field of a path, with its index if it is in a list."""
    start = len(path) - 1
    while start > 0 and isinstance(path[start], int):
        start -= 1
    return dotted(path[max(start, 0) :]) or "the document"


def _shown(node: Node) -> str:
    """Describe a value."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    assert isinstance(node, ScalarNode)
    match node.value:
        case None:
            return "null"
        case bool() as flag:
            text = "true" if flag else "false"
            return text if node.text.lower() == text else f"{text} (written {node.text})"
        case str() as value:
            return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…")
        case number:
            return str(number)
