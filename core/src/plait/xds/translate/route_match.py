"""envoy.config.route.v3.RouteMatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import RouteMatch
from plait.xds.positions import Where
from plait.xds.translate.matchers import header_matcher, query_matcher
from plait.xds.translate.values import MILLION, regex_matcher, runtime_fraction, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_PLAIN = ("prefix", "path", "path_separated_prefix")
_HANDLED = frozenset(
    (
        *_PLAIN, "safe_regex", "connect_matcher", "case_sensitive", "runtime_fraction", "headers", "query_parameters",
        "grpc",
    )
)  # fmt: skip


def route_match(message: Any, where: Where, translator: Translator) -> RouteMatch:
    """Which requests a route takes."""
    translator.only(message, where, _HANDLED)
    kind = message.WhichOneof("path_specifier")
    value = "/"
    if kind is None:
        expected = "one of prefix, path, safe_regex, path_separated_prefix, connect_matcher"
        raise where.error("the match says nothing of the path", expected=expected)
    if kind in _PLAIN:
        value = getattr(message, kind)
        if kind == "path_separated_prefix" and (len(value) < 2 or value.endswith("/") or "?" in value or "#" in value):
            raise (where / kind).error(
                f"path_separated_prefix is {value!r}", expected="a path without '?' and '#' that does not end with '/'"
            )
    elif kind == "safe_regex":
        value = regex_matcher(message.safe_regex, where / kind)
    elif kind == "connect_matcher":
        kind = "connect"
    fraction = MILLION
    if message.HasField("runtime_fraction"):
        fraction = runtime_fraction(message.runtime_fraction, where / "runtime_fraction")
    return RouteMatch(
        kind=kind,
        value=value,
        case_sensitive=wrapped(message, "case_sensitive", True),
        headers=tuple(header_matcher(one, where / "headers" / index) for index, one in enumerate(message.headers)),
        query=tuple(
            query_matcher(one, where / "query_parameters" / index) for index, one in enumerate(message.query_parameters)
        ),
        runtime_fraction=fraction,
        grpc=message.HasField("grpc"),
    )
