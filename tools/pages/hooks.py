"""``docs/reference/hooks.md``: the hooks with their examples, and what they return, from signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import attrs

from plait.plugins import KINDS
from plait.plugins import hookspecs as specifications

_TITLE = "# Hooks\n"
_INTRO = """\
A hook takes no arguments, is called once when its plugin is loaded, and returns a list of what the plugin registers. A
module marks its hooks with `plait.hookimpl`. The examples are whole plugins; `answers` asks them as the loader does.
"""
_CODE = re.compile(r"``(.+?)``")


def render(head: str) -> str:
    """The whole page."""
    lines = [_TITLE, head, _INTRO]
    categories: dict[type, None] = {}
    for kind in KINDS.values():
        specification = getattr(specifications, kind.hook)
        lines += [f"## `{kind.hook}`", "", *_markdown(inspect.getdoc(specification) or ""), ""]
        categories |= dict.fromkeys(kind.categories)
    lines += ["## What hooks return", ""]
    for category in categories:
        lines += [f"### `{category.__name__}`", "", *_markdown(inspect.getdoc(category) or ""), ""]
        lines += ["| field | type | default |", "|---|---|---|", *_fields(category), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown(docstring: str) -> Iterator[str]:
    """The docstring with its example, which is the last part of it, fenced."""
    lines = docstring.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(">>>")), len(lines))
    yield from (_CODE.sub(r"`\1`", line) for line in lines[:start])
    if start < len(lines):
        yield from ("```pycon", *lines[start:], "```")


def _fields(category: type) -> Iterator[str]:
    for field in attrs.fields(category):
        default = "" if field.default is attrs.NOTHING else f"`{_shown(field.default)}`"
        yield f"| `{field.name}` | `{str(field.type).replace('|', chr(92) + '|')}` | {default} |"


def _shown(value: object) -> str:
    return getattr(value, "__name__", None) or str(value)
