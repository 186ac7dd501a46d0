"""Configuration text as a tree of nodes that remember where they were written, and what makes one out of its parts.

Two things are judged otherwise than by Envoy: a key given twice is refused (Envoy keeps the last one, silently), and a
YAML merge key (``<<``) is merged (Envoy takes it for a field of that name).

This module knows nothing of messages and fields; ``parse`` does that. YAML is in ``yaml_text``, JSON in ``json_text``.
"""

from __future__ import annotations

from typing import NoReturn, TypeAlias

from plait.api.errors import ConfigError

MAX_DEPTH = 100
"""Mappings and sequences within each other; Envoy's JSON parser stops at the same depth."""

MAX_ALIAS_NODES = 200_000
"""Nodes that aliases may add to a document: nine aliases of nine aliases of nine … are a bomb, not a configuration."""

Plain: TypeAlias = bool | int | float | str | None


class Node:
    """Something written in a document; lines and columns count from one."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column


class ScalarNode(Node):
    """One value: ``value`` as it was typed, ``text`` as it was written."""

    __slots__ = ("ignored", "text", "value")

    def __init__(self, value: Plain, text: str, line: int, column: int) -> None:
        super().__init__(line, column)
        self.value = value
        self.text = text
        self.ignored = False


class SequenceNode(Node):
    """A list of nodes."""

    __slots__ = ("items",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.items: list[Node] = []


class MappingNode(Node):
    """Keys and values in the order of the text; no key is there twice."""

    __slots__ = ("entries",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.entries: dict[str, tuple[Node, Node]] = {}
        """Name to (the key's own node, the value)."""


class Document:
    """A whole text: its file's name, its root, and what was wrong without making the rest unreadable."""

    __slots__ = ("errors", "file", "root")

    def __init__(self, file: str, root: Node, errors: list[ConfigError]) -> None:
        self.file = file
        self.root = root
        self.errors = errors


class _Frame:
    """A collection whose end has not been read yet."""

    __slots__ = ("anchor", "height", "key", "merges", "node", "weight")

    def __init__(self, node: MappingNode | SequenceNode, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: ScalarNode | None = None
        self.merges: list[Node] = []
        self.weight = 1
        self.height = 1


class Builder:
    """Makes the tree from the events of a reader, and holds it to its limits. Work and memory are O(events)."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[ConfigError] = []
        self.root: Node | None = None
        self._stack: list[_Frame] = []
        # an anchor that is still open has no weight yet: an alias to it would contain itself
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}
        self._alias_nodes = 0

    def document(self, nothing: str) -> Document:
        """Return the finished document, or raise ``ConfigError`` saying ``nothing`` when there is none."""
        if self.root is None:
            raise ConfigError(nothing, file=self.file, line=1, column=1, expected="a mapping")
        return Document(self.file, self.root, self.errors)

    def fail(self, what: str, line: int, column: int, *, expected: str = "", hint: str = "") -> NoReturn:
        """Give up on the document: nothing after this place can be understood."""
        raise self._error(what, line, column, expected=expected, hint=hint)

    def scalar(self, node: ScalarNode, *, anchor: str | None = None, plain: bool = False) -> None:
        """Take a value, or a key when the mapping around it waits for one; ``plain`` tells ``<<`` from ``"<<"``."""
        if not node.text.isascii():
            try:
                node.text.encode()
            except UnicodeEncodeError:
                self.fail("half of a surrogate pair in a string", node.line, node.column, expected="Unicode text")
        if anchor is not None:
            self._anchors[anchor] = (node, 1, 0)
        self._attach(node, 1, 0, merge=plain and node.text == "<<")

    def start(self, node: MappingNode | SequenceNode, *, anchor: str | None = None) -> None:
        """Open a collection."""
        if len(self._stack) >= MAX_DEPTH:
            self.fail("too deeply nested", node.line, node.column, expected=f"at most {MAX_DEPTH} levels")
        self._refuse_as_key(node.line, node.column)
        if anchor is not None:
            self._anchors[anchor] = None
        self._stack.append(_Frame(node, anchor))

    def end(self) -> None:
        """Close the innermost collection."""
        frame = self._stack.pop()
        if frame.merges:
            self._merge(frame)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.node, frame.weight, frame.height)
        self._attach(frame.node, frame.weight, frame.height)

    def alias(self, name: str, line: int, column: int) -> None:
        """Put the node of an anchor here again; it keeps the place where it was first written."""
        found = self._anchors.get(name)
        if found is None:
            if name in self._anchors:
                self.fail(f"alias '*{name}' stands inside its own anchor", line, column)
            self.fail(f"alias '*{name}' has no anchor", line, column, expected=f"an '&{name}' before it")
        node, weight, height = found
        self._alias_nodes += weight
        if self._alias_nodes > MAX_ALIAS_NODES:
            self.fail(f"aliases multiply the document, '*{name}' once too often", line, column,
                      expected=f"at most {MAX_ALIAS_NODES} nodes through aliases")  # fmt: skip
        if len(self._stack) + height > MAX_DEPTH:
            self.fail("too deeply nested through aliases", line, column, expected=f"at most {MAX_DEPTH} levels")
        if not isinstance(node, ScalarNode):
            self._refuse_as_key(line, column)
        self._attach(node, weight, height)

    def _attach(self, node: Node, weight: int, height: int, *, merge: bool = False) -> None:
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.weight += weight
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.node, SequenceNode):
            frame.node.items.append(node)
        elif frame.key is None:
            assert isinstance(node, ScalarNode)  # other keys were refused before they were read
            frame.key = node
            if merge:
                frame.merges.append(node)
        else:
            self._entry(frame, frame.node, frame.key, node)
            frame.key = None

    def _entry(self, frame: _Frame, mapping: MappingNode, key: ScalarNode, value: Node) -> None:
        if key.ignored:
            return
        if frame.merges and frame.merges[-1] is key:
            frame.merges[-1] = value
            return
        name = "null" if key.value is None else key.text
        first = mapping.entries.get(name)
        if first is None:
            mapping.entries[name] = (key, value)
            return
        hint = f"first given at {self.file}:{first[0].line}:{first[0].column}"
        self.errors.append(
            self._error(f"key {name!r} is given again", key.line, key.column, expected="each key once", hint=hint)
        )

    def _merge(self, frame: _Frame) -> None:
        """Put in what ``<<`` names: keys of the mapping itself win, then earlier sources."""
        assert isinstance(frame.node, MappingNode)
        for source in frame.merges:
            for part in source.items if isinstance(source, SequenceNode) else (source,):
                if not isinstance(part, MappingNode):
                    self.fail("'<<' merges something that has no keys", part.line, part.column,
                              expected="a mapping or a list of mappings")  # fmt: skip
                for name, entry in part.entries.items():
                    frame.node.entries.setdefault(name, entry)

    def _refuse_as_key(self, line: int, column: int) -> None:
        if self._stack and isinstance(self._stack[-1].node, MappingNode) and self._stack[-1].key is None:
            self.fail("a list or mapping is used as a key", line, column, expected="a plain key")

    def _error(self, what: str, line: int, column: int, *, expected: str = "", hint: str = "") -> ConfigError:
        path: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.node, SequenceNode):
                path.append(len(frame.node.items))
            elif frame.key is not None:
                path.append(frame.key.text)
        return ConfigError(what, expected=expected, hint=hint, file=self.file, line=line, column=column, path=path)
