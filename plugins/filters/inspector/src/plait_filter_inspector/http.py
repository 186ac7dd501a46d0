"""``envoy.filters.listener.http_inspector``: whether plain HTTP begins here, and which version of it.

RFC 9112 section 3, RFC 9113 section 3.4::

    method SP request-target SP "HTTP/1." ("0" | "1") CRLF        http/1.0, http/1.1
    "PRI * HTTP/2.0" CRLF CRLF "SM" CRLF CRLF                     h2c
"""

from __future__ import annotations

import re

from plait import Connection, Context, ListenerFilter, Sniff
from plait_filter_inspector.settings import HttpInspection

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [^\0- \x7f]+ HTTP/1\.([01])\r?")
_LIMIT_BYTES = 64 * 1024 - 1


def read_version(prefix: bytes) -> str | Sniff:
    """``http/1.0``, ``http/1.1`` or ``h2c``; NO for anything else, MORE while it is not known."""
    if prefix.startswith(_PREFACE):
        return "h2c"
    if _PREFACE.startswith(prefix):
        return Sniff.MORE
    newline = prefix.find(b"\n")
    if newline >= 0:
        line = _LINE.fullmatch(prefix, 0, newline)
        return Sniff.NO if line is None else f"http/1.{line[1].decode()}"
    method = _METHOD.match(prefix)
    if method is None or len(prefix) > _LIMIT_BYTES or prefix[method.end() : method.end() + 1] not in (b"", b" "):
        return Sniff.NO
    return Sniff.MORE


class HttpInspector(ListenerFilter):
    """See the module. What is TLS is left to the inspector of TLS."""

    def __init__(self, settings: HttpInspection, context: Context) -> None:
        counter = context.stats.counter
        self._found = {
            "http/1.0": counter("http_inspector.http10_found"),
            "http/1.1": counter("http_inspector.http11_found"),
            "h2c": counter("http_inspector.http2_found"),
        }
        self._not_found = counter("http_inspector.http_not_found")

    def peek(self, connection: Connection, prefix: bytes) -> bool:
        if connection.transport_protocol == "tls":
            return True
        version = read_version(prefix)
        if version is Sniff.MORE:
            return False
        if isinstance(version, str):
            self._found[version].value += 1
            connection.application_protocols = (version,)
        else:
            self._not_found.value += 1
        return True
