"""Rewritten paths and hosts, and where redirects lead: compiled per route, applied to a request's bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

from plait.api import ConfigError, ForwardAction, RedirectAction, RegexRewrite, Request, RouteMatch
from plait.stream import compile_regex
from plait_filter_router.matching import without_query
from plait_filter_router.text import encode

PathRewrite = Callable[[bytes], bytes]
"""From a path with its query to the one that takes its place."""

ORIGINAL_PATH = b"x-envoy-original-path"
ORIGINAL_HOST = b"x-envoy-original-host"


def compile_path_rewrite(
    match: RouteMatch, prefix_rewrite: str, regex_rewrite: RegexRewrite | None
) -> PathRewrite | None:
    """How a route changes paths, or None when it does not; raises ConfigError for a bad expression or substitution."""
    if regex_rewrite is not None:
        return _regex_rewrite(regex_rewrite)
    if not prefix_rewrite:
        return None
    replacement = encode(prefix_rewrite)
    if match.kind in ("prefix", "path_separated_prefix"):
        length = len(encode(match.value))
        return lambda path: replacement + path[length:]
    # an exact path or an expression matched all of the path: all of it goes, and the query stays
    return lambda path: replacement + path[len(without_query(path)) :]


def _regex_rewrite(rewrite: RegexRewrite) -> PathRewrite:
    r"""RE2's substitution: every match is replaced, ``\0`` to ``\9`` stand for groups, ``\\`` for a backslash."""
    pattern = compile_regex(rewrite.pattern)
    parts: list[bytes | int] = []
    for piece in re.split(r"(\\.)", rewrite.substitution):
        if len(piece) == 2 and piece[0] == "\\":
            if piece[1].isdigit() and int(piece[1]) <= pattern.groups:
                parts.append(int(piece[1]))
            elif piece[1] == "\\":
                parts.append(b"\\")
            else:
                raise ConfigError(
                    f"substitution {rewrite.substitution!r} has {piece}, which stands for nothing",
                    expected=f"\\0 to \\{pattern.groups}, or \\\\ for a backslash",
                )
        elif piece:
            parts.append(encode(piece))

    def rewritten(path: bytes) -> bytes:
        bare = without_query(path)
        made: list[bytes] = []
        at = 0
        for found in pattern.finditer(bare):
            if found.start() == found.end() == at and made:
                continue  # RE2 does not replace an empty match right behind another match
            made.append(bare[at : found.start()])
            made += [part if isinstance(part, bytes) else found.group(part) or b"" for part in parts]
            at = found.end()
        made.append(bare[at:])
        return b"".join(made) + path[len(bare) :]

    return rewritten


def compile_host_rewrite(action: ForwardAction) -> Callable[[Request], None] | None:
    """How a route changes the host, or None when it does not (or the core does it: ``auto_host_rewrite``)."""
    literal = encode(action.host_rewrite)
    header = encode(action.host_rewrite_header.lower())
    append = action.append_x_forwarded_host
    if not literal and not header:
        return None

    def rewrite(request: Request) -> None:
        host = literal or request.headers.find(header)
        if host and host != request.raw_authority:
            if append:
                request.headers.append(b"x-forwarded-host", request.raw_authority)
            request.raw_authority = host
            request.headers.changed = True

    return rewrite


def compile_location(match: RouteMatch, action: RedirectAction) -> Callable[[Request], bytes]:
    """Where a redirect leads, from the request; raises ConfigError for a bad expression."""
    rewrite = compile_path_rewrite(match, action.prefix_rewrite, action.regex_rewrite)
    new_path = encode(action.path)
    new_host = encode(action.host)
    new_scheme = encode(action.scheme) or (b"https" if action.https else b"")
    port = b":%d" % action.port if action.port else b""
    strip_query = action.strip_query

    def location(request: Request) -> bytes:
        old_scheme = request.headers.find(b"x-forwarded-proto") or request.raw_scheme or b"http"
        scheme = new_scheme or old_scheme
        host = new_host or _host_for(request.raw_authority, old_scheme, scheme, port)
        path = request.raw_path
        bare = without_query(path)
        query = b"" if strip_query else path[len(bare) :].partition(b"#")[0]
        if new_path:
            path = new_path if b"?" in new_path else new_path + query
        elif rewrite is not None:
            path = rewrite(bare) + query
        else:
            path = bare + query
        return scheme + b"://" + host + port + path

    return location


def _host_for(authority: bytes, old_scheme: bytes, scheme: bytes, port: bytes) -> bytes:
    """The host of the request, without a port that the new scheme or the new port makes wrong."""
    host, colon, number = authority.rpartition(b":")
    if not colon or not number.isdigit():
        return authority
    stale = scheme != old_scheme and (old_scheme, number) in ((b"http", b"80"), (b"https", b"443"))
    return host if stale or port else authority
