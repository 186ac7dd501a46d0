"""What the matchers of generic_proxy look at: envoy.extensions.filters.network.generic_proxy.matcher.v3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plait import AllOf, Condition, InputMatches, MatchInput
from plait.xds import Translator, Where, string_matcher

_PACKAGE = "envoy.extensions.filters.network.generic_proxy.matcher.v3."
_PARTS = {
    _PACKAGE + "ServiceMatchInput": "service",
    _PACKAGE + "HostMatchInput": "service",
    _PACKAGE + "PathMatchInput": "path",
    _PACKAGE + "MethodMatchInput": "method",
}
_PROPERTY = _PACKAGE + "PropertyMatchInput"
_WHOLE = _PACKAGE + "RequestMatchInput"
_MATCHER = _PACKAGE + "RequestMatcher"
_KNOWN = ", ".join(name.rpartition(".")[2] for name in (*_PARTS, _PROPERTY, _WHOLE))


def match_input(packed: Any, where: Where, translator: Translator) -> MatchInput | None:
    """The part of a call that a message stands for, None for the whole of it; raises ConfigError."""
    held = translator.typed_config(packed, where)
    if held.key in _PARTS:
        held.for_proto(held.key)
        return MatchInput(_PARTS[held.key])
    if held.key == _PROPERTY:
        name = held.for_proto(held.key).property_name
        if not name:
            raise held.where.error("the property has no name", expected="property_name: and a name")
        return MatchInput("header", name)
    if held.key == _WHOLE:
        return None
    raise held.where.error(f"{held.key!r} is no input of generic_proxy", expected=f"one of {_KNOWN}")


def custom_match(packed: Any, where: Where, looked_at: MatchInput | None, translator: Translator) -> Condition:
    """A RequestMatcher: everything that it asks for must be so; one that asks nothing matches every call."""
    held = translator.typed_config(packed, where)
    if held.key != _MATCHER:
        raise held.where.error(f"matcher {held.key!r} is not supported yet by plait", expected=_MATCHER)
    if looked_at is not None:
        raise held.where.error("a RequestMatcher looks at the whole call", expected="the input RequestMatchInput")
    message = held.for_proto(held.key)
    translator.only(message, held.where, {"host", "path", "method", "properties"})
    return AllOf(tuple(_asked(message, held.where)))


def _asked(message: Any, where: Where) -> Iterator[Condition]:
    for field, kind in (("host", "service"), ("path", "path"), ("method", "method")):
        if message.HasField(field):
            yield InputMatches(MatchInput(kind), string_matcher(getattr(message, field), where / field))
    for index, one in enumerate(message.properties):
        at = where / "properties" / index
        if not one.name:
            raise at.error("the property has no name", expected="name: and a name")
        if not one.HasField("string_match"):
            raise at.error("the property has no string_match", expected="what its value must be")
        yield InputMatches(MatchInput("header", one.name), string_matcher(one.string_match, at / "string_match"))
