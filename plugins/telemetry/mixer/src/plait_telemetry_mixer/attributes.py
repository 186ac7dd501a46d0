"""Mixer's attributes: the vocabulary, and where a request or a connection has the value of each.

What we see ourselves (addresses, the request, the clock) comes from the stream. Everything else, such as who the caller
is, comes from filters before this one under the same name in ``stream.attributes`` or ``connection.attributes``, and
then from ``mixer_attributes`` of the settings. What is not there is absent: reading it raises ``AbsentError``.

A bag writes down what was read, present or not: these *referenced attributes* are the key of the check cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from plait import Connection, Request, Stream
from plait_telemetry_mixer.expr import AbsentError
from plait_telemetry_mixer.values import ValueType, belongs, parse_ip

Reference: TypeAlias = tuple[str, str | None]
"""An attribute that was read; with a key, only that one of a STRING_MAP."""

_STRING_NAMES = """
    origin.uid origin.user source.uid source.principal source.namespace source.name source.owner source.service
    source.workload.uid source.workload.name source.workload.namespace source.user
    destination.uid destination.principal destination.namespace destination.name destination.owner
    destination.service destination.service.uid destination.service.name destination.service.namespace
    destination.service.host destination.workload.uid destination.workload.name destination.workload.namespace
    destination.container.name
    request.id request.host request.method request.path request.url_path request.reason request.referer
    request.scheme request.useragent request.api_key request.auth.principal request.auth.audiences
    request.auth.presenter request.auth.raw_claims
    response.grpc_status response.grpc_message
    connection.id connection.event connection.requested_server_name
    context.protocol context.proxy_error_code context.reporter.kind context.reporter.uid
    api.service api.version api.operation api.protocol
    check.error_message
""".split()  # noqa: SIM905 - a table of fifty names reads better so
_OTHER_NAMES = {
    ValueType.IP_ADDRESS: "origin.ip source.ip destination.ip",
    ValueType.INT64: """source.port destination.port request.size request.total_size response.code response.size
        response.total_size connection.received.bytes connection.received.bytes_total connection.sent.bytes
        connection.sent.bytes_total check.error_code""",
    ValueType.STRING_MAP: """source.labels destination.labels request.headers request.query_params request.auth.claims
        response.headers""",
    ValueType.TIMESTAMP: "request.time response.time context.time context.timestamp",
    ValueType.DURATION: "response.duration connection.duration",
    ValueType.BOOL: "connection.mtls context.reporter.local check.cache_hit quota.cache_hit",
}
VOCABULARY: Mapping[str, ValueType] = {
    **dict.fromkeys(_STRING_NAMES, ValueType.STRING),
    **{name: type_ for type_, names in _OTHER_NAMES.items() for name in names.split()},
}
"""Every attribute that Mixer knew, with its type."""


class HeaderMap:
    """The headers of a request as Mixer has them: with HTTP/2's pseudo-headers, and those of RPC, among them."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def get(self, name: str) -> str | None:
        """The first value of a header; its name in any case."""
        request = self._request
        value = request.headers.get(name)
        if value is not None or name[:1] != ":":
            return value
        found = request.pseudo(name.lower().encode())
        return None if found is None else found.decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return len(self._request.headers)

    def items(self) -> Iterator[tuple[str, str]]:
        """Names and values; of headers sent several times the first."""
        return iter(dict(reversed(list(self._request.headers))).items())


def _url_path(stream: Stream) -> str:
    return stream.request.path.partition("?")[0].partition("#")[0]


def _query(stream: Stream) -> dict[str, str]:
    query = stream.request.path.partition("?")[2].partition("#")[0]
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="surrogateescape")))


def _size(stream: Stream) -> int | None:
    request = stream.request
    declared = request.headers.find(b"content-length")
    if declared is not None and declared.isdigit() and len(declared) < 19:
        return int(declared)
    return len(request.body) if request.end else None


def _is_grpc(request: Request) -> bool:
    return (request.headers.find(b"content-type") or b"").startswith(b"application/grpc")


def _is_http(request: Request) -> bool:
    return bool(request.raw_method) or request.protocol.startswith("HTTP/")


def _protocol(stream: Stream) -> str:
    request = stream.request
    if _is_http(request):
        return "grpc" if _is_grpc(request) else "http"
    return request.protocol.lower() or "http"


def _operation(stream: Stream) -> str | None:
    """The method of an RPC; which operation of an API an HTTP path means, only its description knows."""
    request = stream.request
    if not _is_http(request):
        return request.path
    return request.path.rpartition("/")[2] if _is_grpc(request) else None


def _service(stream: Stream) -> str | None:
    request = stream.request
    return request.path.rpartition("/")[0].lstrip("/") if _is_grpc(request) else request.authority


def _moment(monotonic: float) -> datetime | None:
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - monotonic) if monotonic else None


def _ip(text: str) -> object:
    try:
        return parse_ip(text.partition("%")[0]) if text else None
    except ValueError:
        return None


def _header(name: str) -> Callable[[Stream], object]:
    return lambda stream: stream.request.headers.get(name)


_OF_CONNECTION: dict[str, Callable[[Connection], object]] = {
    "source.ip": lambda connection: _ip(connection.peer_ip),
    "source.port": lambda connection: connection.peer_port or None,
    "destination.ip": lambda connection: _ip(connection.local_ip),
    "destination.port": lambda connection: connection.local_port or None,
    "connection.id": lambda connection: str(connection.id),
    "connection.requested_server_name": lambda connection: connection.server_name or None,
    "connection.received.bytes": lambda connection: connection.bytes_received,
    "connection.sent.bytes": lambda connection: connection.bytes_sent,
    "context.time": lambda connection: datetime.now(UTC),
    "context.timestamp": lambda connection: datetime.now(UTC),
}
_OF_STREAM: dict[str, Callable[[Stream], object]] = {
    "request.headers": lambda stream: HeaderMap(stream.request),
    "request.id": _header("x-request-id"),
    "request.referer": _header("referer"),
    "request.useragent": _header("user-agent"),
    "request.host": lambda stream: stream.request.authority or None,
    "request.method": lambda stream: stream.request.method or None,
    "request.path": lambda stream: stream.request.path or None,
    "request.url_path": lambda stream: _url_path(stream) or None,
    "request.query_params": _query,
    "request.scheme": lambda stream: stream.request.scheme or None,
    "request.size": _size,
    "request.time": lambda stream: _moment(stream.started),
    "context.protocol": _protocol,
    "api.protocol": _protocol,
    "api.service": _service,
    "api.operation": _operation,
    "response.code": lambda stream: stream.response.status if stream.response else None,
    "response.headers": lambda stream: stream.response.headers if stream.response else None,
    "response.time": lambda stream: _moment(stream.response_started),
}


class AttributeBag:
    """The attributes of one stream, or of a connection that carries none."""

    __slots__ = ("_connection", "_known", "_own", "_stream", "_types", "referenced")

    def __init__(
        self,
        connection: Connection,
        stream: Stream | None,
        types: Mapping[str, ValueType],
        own: Mapping[str, object],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._types = types
        self._own = own
        self._known: dict[str, object] = {}
        self.referenced: dict[Reference, None] = {}

    def value(self, name: str) -> Any:
        """The value of an attribute. Raises AbsentError."""
        self.referenced[name, None] = None
        value = self._find(name)
        if value is None:
            raise AbsentError(f"attribute {name}")
        return value

    def member(self, name: str, key: str) -> str:
        """The value of a key in a STRING_MAP attribute. Raises AbsentError."""
        self.referenced[name, key] = None
        value = self._member(name, key)
        if value is None:
            raise AbsentError(f"{name}[{key!r}]")
        return value

    def peek(self, reference: Reference) -> object:
        """What a reference gives, in a form that hashes; None when it is absent. Is not written down."""
        name, key = reference
        if key is not None:
            return self._member(name, key)
        value = self._find(name)
        if self._types[name] is ValueType.STRING_MAP and value is not None:
            return tuple(sorted(as_dict(value).items()))
        return value

    def _member(self, name: str, key: str) -> str | None:
        found: Any = self._find(name)
        value = None if found is None else found.get(key)
        return value if isinstance(value, str) else None

    def _find(self, name: str) -> object:
        try:
            return self._known[name]
        except KeyError:
            value = self._known[name] = self._look(name)
            return value

    def _look(self, name: str) -> object:
        stream, connection = self._stream, self._connection
        if stream is not None and (of_stream := _OF_STREAM.get(name)) is not None:
            value = of_stream(stream)
            if value is not None:
                return value
        if (of_connection := _OF_CONNECTION.get(name)) is not None:
            value = of_connection(connection)
            if value is not None:
                return value
        if stream is None and name == "context.protocol":
            return "tcp"
        if stream is not None:
            value = stream.attributes.get(name)
            if value is not None and belongs(value, self._types[name]):
                return value
        value = connection.attributes.get(name)
        if value is not None and belongs(value, self._types[name]):
            return value
        return self._own.get(name)


def as_dict(value: Any) -> dict[str, str]:
    """A STRING_MAP as a dictionary."""
    pairs = value.items() if hasattr(value, "items") else value
    return {str(key): str(item) for key, item in pairs}
