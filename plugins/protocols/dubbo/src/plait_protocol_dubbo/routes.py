"""What the routes of dubbo_proxy ask of a call beyond its interface and method: conditions in the tree of matchers.

They are made where configuration is read and compiled in workers, so they know Dubbo's calls and no protobuf.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from plait import CustomCondition, HeaderMatcher, Request
from plait.stream import compile_headers, compile_request_headers
from plait_protocol_dubbo.call import DubboCall


@attrs.frozen
class ServiceIs(CustomCondition):
    """Whether the call is of this version and group of its service; empty is any."""

    version: str = ""
    group: str = ""

    def compile(self) -> Callable[[Request], bool]:
        """A call over a request."""
        version, group = self.version, self.group.encode()

        def test(request: Request) -> bool:
            call = request.native
            if type(call) is not DubboCall:
                return not version and not group
            if version and call.service_version != version:
                return False
            return not group or request.headers.find(b"group") == group

        return test


@attrs.frozen
class AttachmentsMatch(CustomCondition):
    """Whether the attachments, and what goes by a name with a colon in front, match all of these."""

    headers: tuple[HeaderMatcher, ...]

    def compile(self) -> Callable[[Request], bool]:
        """A call over a request."""
        pseudo = tuple(one for one in self.headers if one.name.startswith(":"))
        match = compile_headers(tuple(one for one in self.headers if one not in pseudo))
        if not pseudo:
            return lambda request: match(request.headers)
        match_pseudo = compile_request_headers(pseudo)
        return lambda request: match_pseudo(request) and match(request.headers)


@attrs.frozen
class Argument:
    """What the argument at ``index`` must be: this text, or a whole number in [start, end)."""

    index: int
    exact: str = ""
    range: tuple[int, int] | None = None


@attrs.frozen
class ArgumentsMatch(CustomCondition):
    """Whether all of these arguments are as they must be; a call without arguments, or an unreadable one, is not."""

    arguments: tuple[Argument, ...]

    def compile(self) -> Callable[[Request], bool]:
        """A call over a request."""
        wanted = self.arguments

        def test(request: Request) -> bool:
            call = request.native
            given = call.arguments() if type(call) is DubboCall else None
            if not given:
                return False
            for one in wanted:  # noqa: SIM110 - a generator would cost more than the tests
                if one.index >= len(given) or not _matches(one, given[one.index]):
                    return False
            return True

        return test


def _matches(wanted: Argument, value: object) -> bool:
    text = _text(value)
    if text is None:
        return False
    if wanted.range is None:
        return not wanted.exact or text == wanted.exact
    digits = text[1:] if text[:1] in ("-", "+") else text
    return digits.isascii() and digits.isdigit() and len(digits) < 20 and wanted.range[0] <= int(text) < wanted.range[1]


def _text(value: object) -> str | None:
    """An argument as text; None for what is neither text, number nor truth."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))  # Hessian's long is an int that writes itself otherwise
    return str(value) if isinstance(value, float) else None
