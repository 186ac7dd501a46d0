"""Paths brought into one form before anybody matches on them, so that a rule cannot be gone around.

``escaped slashes`` come first, then RFC 3986 section 6.2.2 (escapes of unreserved characters, dot segments; a
backslash is a slash, as browsers have it), then double slashes. The query is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from plait_protocol_http.settings import EdgeSettings

Normalize = Callable[[bytes], bytes]

_ESCAPED_SLASH = re.compile(rb"%(?:2[fF]|5[cC])")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_SLASHES = re.compile(rb"//+")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Refused(Exception):
    """A path that must not be served."""


class Moved(Exception):
    """A path that the caller is to ask for in its normal form, which is the argument."""


def compile_normalization(settings: EdgeSettings) -> Normalize | None:
    """From a path with its query to its normal form, or None when nothing is to be done.

    The function raises Refused, or Moved with the path to redirect to.
    """
    slashes = settings.escaped_slashes
    if slashes == "keep_unchanged" and not settings.normalize_path and not settings.merge_slashes:
        return None

    def normalize(target: bytes) -> bytes:
        path, mark, query = target.partition(b"?")
        if not path.startswith(b"/"):
            return target  # an authority, or the asterisk of OPTIONS
        unescaped = False
        if slashes != "keep_unchanged" and b"%" in path and _ESCAPED_SLASH.search(path):
            if slashes == "reject_request":
                raise Refused("escaped slashes in the path")
            path = _ESCAPED_SLASH.sub(lambda found: b"/" if found[0][1:2] == b"2" else b"\\", path)
            unescaped = True
        if settings.normalize_path:
            path = _canonical(path)
        if settings.merge_slashes and b"//" in path:
            path = _SLASHES.sub(b"/", path)
        normal = path + mark + query
        if unescaped and slashes == "unescape_and_redirect":
            raise Moved(normal)
        return normal

    return normalize


def _unescape(found: re.Match[bytes]) -> bytes:
    value = int(found[1], 16)
    if not value:
        raise Refused("a NUL in the path")
    return bytes((value,)) if value in _UNRESERVED else found[0]


def _canonical(path: bytes) -> bytes:
    if b"\\" in path:
        path = path.replace(b"\\", b"/")
    if b"%" in path:
        path = _ESCAPED.sub(_unescape, path)
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
