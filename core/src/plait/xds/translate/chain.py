"""The rule of filter chains: the last filter ends the chain, and no other does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plait.api.config import Extension
from plait.xds.positions import Where

if TYPE_CHECKING:
    from plait.xds.translator import Translator


def check_terminal(
    chain: Sequence[tuple[Extension, Any, Where]], where: Where, translator: Translator, expected: str
) -> None:
    """Report a chain of (extension, what is registered, place) that does not end with ``expected``."""
    if not chain:
        translator.report(where.error("the filter chain has no filters", f"a last filter such as {expected}"))
        return
    for extension, registered, at in chain[:-1]:
        if registered.terminal:
            what = f"{extension.name!r} ends the filter chain, and others come after it"
            translator.report(at.error(what, expected="it to be the last one"))
    extension, registered, at = chain[-1]
    if not registered.terminal:
        what = f"the last filter, {extension.name!r}, does not end the filter chain"
        translator.report(at.error(what, expected=f"a last filter such as {expected}"))
