"""``docs/reference/configuration.md``: which fields of which messages are understood, and what plugins register."""

from __future__ import annotations

from collections.abc import Iterator

from plait.plugins import discover
from tools.pages.fields import Fields, found

_TITLE = "# Messages and fields\n"
_INTRO = """\
What Plait reads of Envoy's v3 API, message by message. A field that is not named here is refused, with its place, when
it is set; one *without effect* is taken, and said so in the log. A value that cannot be had (a balancer, a kind of
cluster) is refused with those that can. Small messages, such as matchers, have no row of their own; what of them cannot
be had is refused too. How these fields work together is in [Configuration](../configuration.md), what they mean in
Envoy's documentation. A message stands where it is met first.
"""


def render(head: str) -> str:
    """The whole page."""
    lines = [_TITLE, head, _INTRO]
    shown: dict[str, Fields] = {}
    for root, messages in found().items():
        new = {name: fields for name, fields in messages.items() if shown.get(name) != fields}
        if not new:
            continue
        lines += [f"## {root.rpartition('.')[2]}", "", "| message | fields | without effect |", "|---|---|---|"]
        lines += [_row(name, fields) for name, fields in new.items()]
        lines.append("")
        shown |= new
    lines += ["## Extensions of this repository", "", *_extensions()]
    return "\n".join(lines) + "\n"


def _row(name: str, fields: Fields) -> str:
    supported = ", ".join(f"`{field}`" for field in fields.supported)
    no_effect = ", ".join(f"`{field}` ({why})" for field, why in sorted(fields.no_effect.items()))
    return f"| `{name.removeprefix('envoy.')}` | {supported} | {no_effect} |"


def _extensions() -> Iterator[str]:
    yield "| name or message | plugin | distribution |"
    yield "|---|---|---|"
    for info in discover():
        if info.distribution.startswith("plait"):
            yield from (f"| `{name}` | `{info.id}` | `{info.distribution}` |" for name in info.registers)
