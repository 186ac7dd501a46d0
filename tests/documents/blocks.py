"""The fenced blocks of Markdown pages, and what is typed and seen in a console block. Nothing here runs anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})(?P<kind>.*)")
_NAME = re.compile(r"# (?P<name>[\w./-]+\.(?:py|toml|yaml|json))\n")


@attrs.frozen
class Block:
    """A fenced block; ``name`` is the file that its first line, a comment, says it is."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def name(self) -> str:
        found = _NAME.match(self.text)
        return found["name"] if found else ""

    @property
    def body(self) -> str:
        """The text without the line that names the file."""
        return self.text[self.text.index("\n") + 1 :] if self.name else self.text


@attrs.frozen
class Command:
    """Something that is typed, and the lines that are shown below it."""

    text: str
    shown: tuple[str, ...] = ()

    @property
    def background(self) -> bool:
        return self.text.endswith("&")


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    return list(_blocks(page, page.read_text().splitlines()))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number])
        number += 1
        if opened is None:
            continue
        first, body = number, []
        while number < len(lines) and lines[number].strip() != opened["fence"]:
            body.append(lines[number].removeprefix(opened["indent"]))
            number += 1
        assert number < len(lines), f"{page}:{first}: the block is not closed"
        number += 1
        yield Block(page, first, opened["kind"].strip(), "".join(f"{line}\n" for line in body))


def commands(block: Block) -> list[Command]:
    """What a console block says is typed (behind ``$``, and ``>`` where it goes on) and seen."""
    found: list[Command] = []
    lines = block.text.splitlines()
    while lines:
        line = lines.pop(0)
        if line.startswith("$ "):
            while lines and lines[0].startswith("> "):
                line += "\n" + lines.pop(0)[2:]
            found.append(Command(line[2:].strip()))
        else:
            assert found, f"{block}: a console block begins with $"
            found[-1] = attrs.evolve(found[-1], shown=(*found[-1].shown, line))
    return found


def shows(output: str, shown: tuple[str, ...]) -> str:
    """The first shown line that is not in the output, each searched behind the one before; empty when all are.

    An ellipsis in a shown line stands for anything, one alone for any lines.
    """
    lines = iter(output.splitlines())
    for wanted in shown:
        if wanted.strip() in ("", "…"):
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in wanted.split("…")))
        if not any(pattern.fullmatch(line.strip()) for line in lines):
            return wanted
    return ""
