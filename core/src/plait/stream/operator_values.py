"""The values behind Envoy's substitution operators: times, addresses, headers, metadata.

A builder takes the text between an operator's parentheses (None without them) and gives two functions: what the
operator stands for in a stream, and in a connection without streams. ``plait.stream.operators`` gives them their names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from plait.api.connection import Connection
from plait.api.errors import ConfigError
from plait.api.headers import Headers, decode
from plait.api.message import Message, Request
from plait.api.stream import Stream
from plait.stream import grpc
from plait.stream.clock_format import compile_time_format

StreamValue = Callable[[Stream], object]
ConnectionValue = Callable[[Connection], object]
Pair = tuple[StreamValue, ConnectionValue]
Build = Callable[[str | None], Pair]

REMOTE_ADDRESS = "plait.remote_address"
"""Attribute of a stream: the caller's address where a forwarded-for header names another than the peer."""

FLAG_NAMES = {
    "DC": "DownstreamConnectionTermination",
    "DF": "DnsResolutionFailed",
    "DI": "DelayInjected",
    "DO": "DropOverload",
    "DPE": "DownstreamProtocolError",
    "DR": "DownstreamRemoteReset",
    "DT": "DurationTimeout",
    "FI": "FaultInjected",
    "IH": "InvalidEnvoyRequestHeaders",
    "LH": "FailedLocalHealthCheck",
    "LR": "LocalReset",
    "NC": "NoClusterFound",
    "NFCF": "NoFilterConfigFound",
    "NR": "NoRouteFound",
    "OM": "OverloadManagerTerminated",
    "RFCF": "ResponseFromCacheFilter",
    "RL": "RateLimited",
    "RLSE": "RateLimitServiceError",
    "SI": "StreamIdleTimeout",
    "UAEX": "UnauthorizedExternalService",
    "UC": "UpstreamConnectionTermination",
    "UF": "UpstreamConnectionFailure",
    "UH": "NoHealthyUpstream",
    "UMSDR": "UpstreamMaxStreamDurationReached",
    "UO": "UpstreamOverflow",
    "UPE": "UpstreamProtocolError",
    "UR": "UpstreamRemoteReset",
    "URX": "UpstreamRetryLimitExceeded",
    "UT": "UpstreamRequestTimeout",
}

GRPC_STATUS = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
    "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
    "DataLoss", "Unauthenticated",
)  # fmt: skip


def nothing(subject: object) -> None:
    """What an operator of streams stands for in a connection."""
    return None


# times

# When a subject is still under way its operators see the time as of now, as Envoy's do.


def ended(subject: Any) -> float:
    if isinstance(subject, Connection):
        return time.monotonic()
    moment: float = subject.ended
    return moment or time.monotonic()


def milliseconds(start: float, end: float) -> int | None:
    return int((end - start) * 1000) if start and end and end >= start else None


def duration(subject: Any) -> int | None:
    return milliseconds(subject.started, ended(subject))


_UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}
_POINTS: dict[str, Callable[[Any], float]] = {
    "DS_RX_BEG": lambda subject: subject.started,
    "DS_RX_END": lambda subject: getattr(subject, "request_ended", 0.0),
    "US_RX_BEG": lambda subject: getattr(subject, "response_started", 0.0),
    "DS_TX_BEG": lambda subject: getattr(subject, "response_started", 0.0),
    "DS_TX_END": ended,
}


def common_duration(argument: str | None) -> Pair:
    start_name, _, rest = (argument or "").partition(":")
    end_name, _, unit = rest.partition(":")
    start, end, scale = _POINTS.get(start_name), _POINTS.get(end_name), _UNITS.get(unit or "ms")
    if start is None or end is None or scale is None:
        raise ConfigError(
            f"COMMON_DURATION({argument or ''}) names no two points in time",
            expected=f"START:END or START:END:UNIT of {', '.join(_POINTS)} and {', '.join(_UNITS)}",
        )

    def value(subject: Any) -> int | None:
        first, last = start(subject), end(subject)
        return int((last - first) * scale) if first and last and last >= first else None

    return value, value


def _wall(monotonic: float) -> float:
    return time.time() - time.monotonic() + monotonic


def start_time(argument: str | None) -> Pair:
    text = compile_time_format(argument, local=False)
    return (lambda stream: text(_wall(stream.started))), (lambda connection: text(_wall(connection.started)))


def start_time_local(argument: str | None) -> Pair:
    text = compile_time_format(argument, local=True)
    return (lambda stream: text(_wall(stream.started))), (lambda connection: text(_wall(connection.started)))


def emit_time(argument: str | None) -> Pair:
    text = compile_time_format(argument, local=False)
    return (lambda stream: text(time.time())), (lambda connection: text(time.time()))


# addresses


def host_of(address: str) -> str | None:
    """``host:port`` without its port; a unix socket has none to take off."""
    if not address or address.startswith("unix:"):
        return address or None
    host, _, port = address.rpartition(":")
    return host.strip("[]") if port.isdigit() else address


def port_of(address: str) -> int | None:
    port = address.rpartition(":")[2]
    return int(port) if port.isdigit() and not address.startswith("unix:") else None


def remote_address(stream: Stream) -> str | None:
    attributes = stream._attributes  # the property would make a dict for every stream
    if attributes is not None and REMOTE_ADDRESS in attributes:
        return f"{attributes[REMOTE_ADDRESS]}:0"  # an address out of a header has no port: Envoy says 0
    return stream.connection.peer or None


# headers


def _names(operator: str, argument: str | None) -> tuple[bytes, bytes | None]:
    name, _, other = (argument or "").partition("?")
    if not name:
        raise ConfigError(f"{operator} names no header", expected=f"%{operator}(header)% or %{operator}(header?other)%")
    return name.lower().encode(), other.lower().encode() or None


def _request_value(name: bytes) -> Callable[[Request], bytes | None]:
    if name == b"host":
        return lambda request: request.raw_authority or None
    if name[:1] == b":":
        return lambda request: request.pseudo(name)
    return lambda request: request.headers.find(name)


def request_header(argument: str | None) -> Pair:
    name, other = _names("REQ", argument)
    first = _request_value(name)
    second = _request_value(other) if other else None

    def value(stream: Stream) -> str | None:
        found = first(stream.request)
        if found is None and second is not None:
            found = second(stream.request)
        return None if found is None else decode(found)

    return value, nothing


def header_of(operator: str, headers: Callable[[Stream], Headers | None]) -> Build:
    def build(argument: str | None) -> Pair:
        name, other = _names(operator, argument)

        def value(stream: Stream) -> str | None:
            fields = headers(stream)
            if fields is None:
                return None
            found = fields.find(name)
            if found is None and other is not None:
                found = fields.find(other)
            return None if found is None else decode(found)

        return value, nothing

    return build


def response_header(argument: str | None) -> Pair:
    name, other = _names("RESP", argument)
    if b":status" not in (name, other):
        return header_of("RESP", lambda stream: stream.response.headers if stream.response else None)(argument)

    def value(stream: Stream) -> str | None:
        return None if stream.response is None else str(stream.response.status)

    return value, nothing


def property_of(operator: str, message: Callable[[Stream], Message | None]) -> Build:
    """A header of any message, or what else goes by a name in its protocol: Envoy's generic_proxy says property."""

    def build(argument: str | None) -> Pair:
        if not argument:
            raise ConfigError(f"{operator} names no property", expected=f"%{operator}(name)%")
        name = argument.lower().encode()

        def value(stream: Stream) -> str | None:
            looked_at = message(stream)
            if looked_at is None:
                return None
            found = looked_at.pseudo(name) if name[:1] == b":" else looked_at.headers.find(name)
            return None if found is None else decode(found)

        return value, nothing

    return build


def method_name(stream: Stream) -> str | None:
    request = stream.request
    return decode(request.raw_method or request.raw_path) or None


def response_code(stream: Stream) -> int | None:
    """The protocol's own code where it has one."""
    response = stream.response
    return None if response is None else response.code or response.status


def headers_size(headers: Headers | None) -> int:
    return sum(len(name) + len(value) for name, value in headers.raw) if headers is not None else 0


def grpc_number(stream: Stream) -> int | None:
    return None if stream.response is None else grpc.status_of(stream.response)


def grpc_status(argument: str | None) -> Pair:
    form = argument or "CAMEL_STRING"
    if form not in ("CAMEL_STRING", "SNAKE_STRING", "NUMBER"):
        raise ConfigError(f"GRPC_STATUS has no form {form!r}", expected="CAMEL_STRING, SNAKE_STRING or NUMBER")

    def value(stream: Stream) -> object:
        number = grpc_number(stream)
        if number is None or form == "NUMBER":
            return number
        if number >= len(GRPC_STATUS):
            return str(number)
        camel = GRPC_STATUS[number]
        if form == "CAMEL_STRING" or number == 0:
            return camel
        return "".join(
            "_" + letter if letter.isupper() and place else letter for place, letter in enumerate(camel)
        ).upper()

    return value, nothing


# paths, metadata, attributes


def query_parameter(argument: str | None) -> Pair:
    if not argument:
        raise ConfigError("QUERY_PARAM names no parameter", expected="%QUERY_PARAM(name)%")
    name = argument.encode()

    def value(stream: Stream) -> str | None:
        query = stream.request.raw_path.partition(b"#")[0].partition(b"?")[2]
        for part in query.split(b"&"):
            key, _, content = part.partition(b"=")
            if key == name:
                return decode(content)
        return None

    return value, nothing


def path_value(argument: str | None) -> Pair:
    query, _, source = (argument or "").partition(":")
    if query not in ("", "WQ", "NQ") or source not in ("", "ORIG", "PATH", "ORIG_OR_PATH"):
        raise ConfigError(f"PATH({argument}) is not understood", expected="WQ or NQ, then ORIG, PATH or ORIG_OR_PATH")

    def value(stream: Stream) -> str | None:
        request = stream.request
        original = request.headers.find(b"x-envoy-original-path") if source != "PATH" else None
        path = original if original is not None or source == "ORIG" else request.raw_path
        if argument is None and not request.raw_method:
            path = request.raw_authority  # of an RPC that is the service, as in Envoy's generic_proxy
        if not path:
            return None
        return decode(path.partition(b"?")[0] if query == "NQ" else path)

    return value, nothing


def _look_up(found: object, keys: list[str]) -> object:
    for key in keys:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def dynamic_metadata(argument: str | None) -> Pair:
    if not argument:
        raise ConfigError("DYNAMIC_METADATA names no namespace", expected="%DYNAMIC_METADATA(namespace:key)%")
    namespace, *keys = argument.split(":")
    dotted = ".".join([namespace, *keys])

    def value(subject: Any) -> object:
        attributes = subject._attributes
        if attributes is None:
            return None
        if dotted in attributes:
            return attributes[dotted]
        return _look_up(attributes.get(namespace), keys) if keys else attributes.get(namespace)

    return value, value


def filter_state(argument: str | None) -> Pair:
    name, _, form = (argument or "").partition(":")
    if not name or form not in ("", "PLAIN", "TYPED"):
        raise ConfigError(
            f"FILTER_STATE({argument or ''}) is not understood", expected="%FILTER_STATE(name)% or (name:PLAIN)"
        )

    def value(subject: Any) -> object:
        attributes = subject._attributes
        return None if attributes is None else attributes.get(name)

    return value, value


def environment(argument: str | None) -> Pair:
    if not argument:
        raise ConfigError("ENVIRONMENT names no variable", expected="%ENVIRONMENT(NAME)%")
    found = os.environ.get(argument)
    return (lambda stream: found), (lambda connection: found)


def details_value(argument: str | None) -> Pair:
    if argument not in (None, "", "ALLOW_WHITESPACES"):
        raise ConfigError(
            f"RESPONSE_CODE_DETAILS({argument}) is not understood", expected="ALLOW_WHITESPACES or nothing"
        )
    if argument:
        return (lambda stream: stream.details or None), (lambda connection: connection.details or None)
    return (lambda stream: "_".join(stream.details.split()) or None), (
        lambda connection: "_".join(connection.details.split()) or None
    )
