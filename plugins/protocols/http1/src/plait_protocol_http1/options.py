"""The options of both codecs, the local answer and the sniffer: what is said about HTTP/1 without reading a message."""

from __future__ import annotations

import re

import attrs

from plait.api import Headers, Request, Response, Sniff


@attrs.frozen
class Http1Options:
    """Named after ``envoy.config.core.v3.Http1ProtocolOptions`` where it has the field; the last two are of Envoy's
    connection manager and cluster (``max_request_headers_kb``, ``max_headers_count``) and hold for both directions.

    ``accept_http_10`` off answers HTTP/1.0 with 426. ``enable_trailers`` off reads trailers and drops them.
    ``allow_chunked_length`` lets Transfer-Encoding win over a Content-Length beside it, which is refused otherwise.
    """

    allow_absolute_url: bool = True
    accept_http_10: bool = False
    default_host_for_http_10: str = ""
    enable_trailers: bool = False
    allow_chunked_length: bool = False
    max_request_headers_kb: int = 60
    max_headers_count: int = 100


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of our own: plain text, as Envoy gives it."""
    fields: list[tuple[bytes, bytes]] = []
    if body:
        fields.append((b"content-length", b"%d" % len(body)))
        fields.append((b"content-type", b"text/plain"))
    response = Response(status, Headers(fields), request.id)
    response.body = b"" if request.raw_method == b"HEAD" else body
    response.protocol = "HTTP/1.1"
    return response


def expects_continue(request: Request) -> bool:
    """Whether the caller waits for an interim 100 before it sends the body (RFC 9110, 10.1.1)."""
    if request.end or request.protocol != "HTTP/1.1":
        return False
    value = request.headers.find(b"expect")
    return value is not None and value.lower() == b"100-continue"


_SNIFF_LIMIT_BYTES = 8192
_REQUEST_LINE = re.compile(rb"[A-Z][A-Z-]{0,31} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r?")
_BEGINNING = re.compile(rb"[A-Z][A-Z-]{0,31}(?: (?:[^\x00-\x20\x7f]+(?: (?P<version>[HTP/1.0]{0,8}\r?))?)?)?")
_VERSIONS = (b"HTTP/1.1\r", b"HTTP/1.0\r")


def sniff(prefix: bytes) -> Sniff:
    """Whether a connection begins with the request line of an HTTP/1 request."""
    newline = prefix.find(b"\n")
    if newline >= 0:
        return Sniff.YES if _REQUEST_LINE.fullmatch(prefix, 0, newline) else Sniff.NO
    if not prefix:
        return Sniff.MORE
    match = _BEGINNING.fullmatch(prefix)
    if match is None or len(prefix) > _SNIFF_LIMIT_BYTES:
        return Sniff.NO
    version = match["version"]
    return Sniff.MORE if version is None or any(v.startswith(version) for v in _VERSIONS) else Sniff.NO
