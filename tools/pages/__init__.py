"""Pages of the reference that are made from the code: ``tools/reference`` writes them, a test compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.pages import configuration, hooks, metrics

PAGES: Mapping[str, Callable[[str], str]] = {
    "configuration": configuration.render,
    "hooks": hooks.render,
    "metrics": metrics.render,
}
"""File names under ``docs/reference``, and what makes each."""

HEAD = "<!-- Made by tools/reference from the code; change it there. -->\n"
