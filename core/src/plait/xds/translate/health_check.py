"""envoy.config.core.v3.HealthCheck: active health checks by HTTP, gRPC and TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import Fields, GrpcHealthCheck, HealthCheck, HttpHealthCheck, TcpHealthCheck
from plait.api.errors import ConfigError
from plait.xds.positions import Where
from plait.xds.translate.headers import header_op
from plait.xds.translate.values import duration_s, enum_name, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_HANDLED = frozenset(
    (
        "timeout", "interval", "initial_jitter", "interval_jitter", "interval_jitter_percent", "unhealthy_threshold",
        "healthy_threshold", "alt_port", "reuse_connection", "http_health_check", "tcp_health_check",
        "grpc_health_check", "no_traffic_interval", "no_traffic_healthy_interval", "unhealthy_interval",
        "unhealthy_edge_interval", "healthy_edge_interval",
    )
)  # fmt: skip
_NO_EFFECT = {
    "event_log_path": "changes of a host's health are in the process's own log",
    "event_logger": "changes of a host's health are in the process's own log",
    "event_service": "changes of a host's health are in the process's own log",
    "always_log_health_check_failures": "changes alone are logged",
    "always_log_health_check_success": "changes alone are logged",
}
_HTTP = frozenset(
    (
        "host", "path", "method", "expected_statuses", "retriable_statuses", "codec_client_type",
        "request_headers_to_add", "request_headers_to_remove",
    )
)  # fmt: skip
_USER_AGENT = (b"user-agent", b"Envoy/HC")  # by which services tell checks from traffic
_GRPC_FIELDS = (_USER_AGENT, (b"content-type", b"application/grpc"), (b"te", b"trailers"))
_CODECS = ("http1", "http2")
_KINDS = "one of http_health_check, tcp_health_check, grpc_health_check"


def health_check(messages: Any, where: Where, translator: Translator, protocol: str) -> HealthCheck | None:
    """The one check of a cluster that is spoken to in ``protocol``.

    Raises ConfigError for what is missing, contradictory or not supported.
    """
    if not messages:
        return None
    if len(messages) > 1:
        raise (where / 1).error("the cluster has more than one health check", expected="one")
    return _check(messages[0], where / 0, translator, protocol)


def _check(message: Any, where: Where, translator: Translator, protocol: str) -> HealthCheck:
    name = message.WhichOneof("health_checker")
    if name == "custom_health_check":
        raise (where / name).error(f"{name} is not supported yet by plait", expected=_KINDS)
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    for field in ("timeout", "interval", "unhealthy_threshold", "healthy_threshold"):
        if not message.HasField(field):
            raise where.error(f"the health check has no {field}", expected=field)
    kind: HttpHealthCheck | GrpcHealthCheck | TcpHealthCheck
    if name == "http_health_check":
        kind = _http(message.http_health_check, where / name, translator)
    elif name == "grpc_health_check":
        kind = _grpc(message.grpc_health_check, where / name, translator, protocol)
    elif name == "tcp_health_check":
        kind = _tcp(message.tcp_health_check, where / name, translator)
    else:
        raise where.error("the health check does not say how", expected=_KINDS)
    interval = duration_s(message, "interval", where, positive=True)
    unhealthy = duration_s(message, "unhealthy_interval", where, interval, positive=True)
    idle = duration_s(message, "no_traffic_interval", where, 60.0, positive=True)
    return HealthCheck(
        kind=kind,
        timeout_s=duration_s(message, "timeout", where, positive=True),
        interval_s=interval,
        unhealthy_threshold=_threshold(message, "unhealthy_threshold", where),
        healthy_threshold=_threshold(message, "healthy_threshold", where),
        unhealthy_interval_s=unhealthy,
        unhealthy_edge_interval_s=duration_s(message, "unhealthy_edge_interval", where, unhealthy, positive=True),
        healthy_edge_interval_s=duration_s(message, "healthy_edge_interval", where, interval, positive=True),
        no_traffic_interval_s=idle,
        no_traffic_healthy_interval_s=duration_s(message, "no_traffic_healthy_interval", where, idle, positive=True),
        initial_jitter_s=duration_s(message, "initial_jitter", where),
        interval_jitter_s=duration_s(message, "interval_jitter", where),
        interval_jitter_percent=message.interval_jitter_percent,
        reuse_connection=wrapped(message, "reuse_connection", True),
        alt_port=_port(message, where),
    )


def _threshold(message: Any, field: str, where: Where) -> int:
    count = int(getattr(message, field).value)
    if count < 1:
        raise (where / field).error(f"{field} is {count}", expected="at least 1")
    return count


def _port(message: Any, where: Where) -> int:
    port = int(wrapped(message, "alt_port", 0))
    if port > 65_535:
        raise (where / "alt_port").error(f"alt_port is {port}", expected="at most 65535")
    return port


def _grpc(message: Any, where: Where, translator: Translator, protocol: str) -> GrpcHealthCheck:
    translator.only(message, where, handled={"service_name", "authority", "initial_metadata"})
    if protocol != "http2":
        what = "the cluster is not spoken to in HTTP/2, and so it cannot be asked by gRPC"
        raise where.error(what, expected="http2_protocol_options in the cluster's HttpProtocolOptions")
    metadata = message.initial_metadata
    return GrpcHealthCheck(
        message.service_name, message.authority, _fields(_GRPC_FIELDS, metadata, where / "initial_metadata")
    )


def _http(message: Any, where: Where, translator: Translator) -> HttpHealthCheck:
    translator.only(message, where, _HTTP)
    if not message.path:
        raise (where / "path").error("the path is empty", expected="the path to ask for, such as /healthz")
    protocol = enum_name(message, "codec_client_type")
    if protocol not in _CODECS:
        what = f"codec_client_type {protocol.upper()} is not supported"
        raise (where / "codec_client_type").error(what, expected="HTTP1 or HTTP2")
    translator.protocol(protocol, where)
    method = enum_name(message, "method").upper()
    if method == "CONNECT":
        raise (where / "method").error("the method is CONNECT", expected="any other")
    return HttpHealthCheck(
        path=message.path,
        host=message.host,
        method="GET" if method == "METHOD_UNSPECIFIED" else method,
        protocol=protocol,
        expected_statuses=_ranges(message.expected_statuses, where / "expected_statuses") or ((200, 201),),
        retriable_statuses=_ranges(message.retriable_statuses, where / "retriable_statuses"),
        fields=_http_fields(message, where),
    )


def _http_fields(message: Any, where: Where) -> Fields:
    fields = _fields((_USER_AGENT,), message.request_headers_to_add, where / "request_headers_to_add")
    gone = {name.lower().encode() for name in message.request_headers_to_remove}
    return tuple(field for field in fields if field[0] not in gone)


def _fields(base: Fields, messages: Any, where: Where) -> Fields:
    """``base`` with a list of envoy.config.core.v3.HeaderValueOption; done now, for no request differs from another."""
    fields = list(base)
    for index, message in enumerate(messages):
        made = header_op(message, where / index, _plain)
        name = made.name.lower().encode()
        value = bytes(message.header.raw_value or message.header.value.encode()).replace(b"%%", b"%")
        there = any(known == name for known, _ in fields)
        if (not value and not made.keep_empty) or (there and made.action == "add_if_absent"):
            continue
        if made.action.startswith("overwrite"):
            if not there and made.action == "overwrite_if_exists":
                continue
            fields = [field for field in fields if field[0] != name]
        fields.append((name, value))
    return tuple(fields)


def _plain(value: str) -> None:
    if "%" in value.replace("%%", ""):
        raise ConfigError(
            "operators mean nothing in a health check's headers", expected="text, with %% for a per cent sign"
        )


def _ranges(messages: Any, where: Where) -> tuple[tuple[int, int], ...]:
    for index, one in enumerate(messages):
        if not 100 <= one.start < one.end <= 600:
            what = f"the statuses from {one.start} up to but not {one.end}"
            raise (where / index).error(what, expected="100 to 600, the end behind the start")
    return tuple((one.start, one.end) for one in messages)


def _tcp(message: Any, where: Where, translator: Translator) -> TcpHealthCheck:
    translator.only(message, where, handled={"send", "receive"})
    receive = where / "receive"
    return TcpHealthCheck(
        _payload(message.send, where / "send") if message.HasField("send") else b"",
        tuple(_payload(one, receive / index) for index, one in enumerate(message.receive)),
    )


def _payload(message: Any, where: Where) -> bytes:
    """Hexadecimal in ``text``, or bytes."""
    if message.WhichOneof("payload") == "binary":
        return bytes(message.binary)
    try:
        found = bytes.fromhex(message.text)
    except ValueError as error:
        raise (where / "text").error(f"{message.text!r} is not hexadecimal", expected="pairs of digits") from error
    if not found:
        raise where.error("the payload is empty", expected="text (hexadecimal) or binary")
    return found
