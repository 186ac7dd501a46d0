"""The check cache: answers by the attributes that they were made of.

Which attributes a check reads depends on their values (a rule that does not match reads no more), so an answer is kept
under what it read: *signatures* are the sets of references seen so far, and an answer's key is its signature with the
values of its references. To look up is to try every signature. Both are bounded: the least recently used answer
goes, and with too many signatures everything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import TypeAlias

from plait_telemetry_mixer.attributes import AttributeBag, Reference

SIGNATURES = 32

Key: TypeAlias = tuple[Hashable, ...]


class Outcome:
    """The answer to a check, valid until ``expires`` and ``uses_left`` times more.

    ``status`` is a google.rpc.Code. ``refusal`` says who refused and why. The headers to change are ``(operation, name,
    values)``.
    """

    __slots__ = ("expires", "refusal", "request_headers", "response_headers", "status", "uses_left")

    def __init__(self, status: int = 0, refusal: str = "", expires: float = 0.0, uses_left: int = 0) -> None:
        self.status = status
        self.refusal = refusal
        self.expires = expires
        self.uses_left = uses_left
        self.request_headers: list[tuple[str, str, list[str]]] = []
        self.response_headers: list[tuple[str, str, list[str]]] = []


class CheckCache:
    """At most ``entries`` answers."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._signatures: dict[tuple[Reference, ...], int] = {}
        self._outcomes: OrderedDict[Key, Outcome] = OrderedDict()

    def __len__(self) -> int:
        return len(self._outcomes)

    def find(self, bag: AttributeBag, now: float) -> Outcome | None:
        """An answer that is still valid for these attributes; it is used once by this."""
        for signature, number in self._signatures.items():
            key = _key(bag, signature, number)
            outcome = self._outcomes.get(key)
            if outcome is None:
                continue
            if now >= outcome.expires or outcome.uses_left <= 0:
                del self._outcomes[key]
                continue
            outcome.uses_left -= 1
            self._outcomes.move_to_end(key)
            return outcome
        return None

    def store(self, bag: AttributeBag, outcome: Outcome, now: float) -> None:
        """Keep an answer under what the bag says was read for it."""
        if outcome.uses_left <= 0 or outcome.expires <= now or self._entries <= 0:
            return
        signature = tuple(sorted(bag.referenced, key=_order))
        number = self._signatures.get(signature)
        if number is None:
            if len(self._signatures) >= SIGNATURES:
                self._signatures.clear()
                self._outcomes.clear()
            number = self._signatures[signature] = len(self._signatures)
        self._outcomes[_key(bag, signature, number)] = outcome
        if len(self._outcomes) > self._entries:
            self._outcomes.popitem(last=False)


def _key(bag: AttributeBag, signature: Iterable[Reference], number: int) -> Key:
    values: list[Hashable] = [number]
    values.extend([bag.peek(reference) for reference in signature])
    return tuple(values)


def _order(reference: Reference) -> tuple[str, str]:
    return reference[0], reference[1] or ""
