"""Envoy's substitution operators: what ``%NAME(argument)%`` stands for, for a stream and for a connection.

An operator is a builder: it takes the text between the parentheses (None without them) and gives two functions, one
for streams and one for connections without streams (TCP). Each answers text, a number, a truth value, a mapping, or
None when there is no value. This is not the parser of format strings: that is ``plait.stream.formatter``.

Sources: Envoy 1.40, configuration/observability/access_log/usage; METHOD, HOST, the properties and
GENERIC_RESPONSE_CODE are those that its generic_proxy adds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from plait.api.errors import ConfigError
from plait.stream.operator_values import (
    FLAG_NAMES,
    Build,
    ConnectionValue,
    Pair,
    StreamValue,
    common_duration,
    details_value,
    duration,
    dynamic_metadata,
    emit_time,
    ended,
    environment,
    filter_state,
    grpc_number,
    grpc_status,
    header_of,
    headers_size,
    host_of,
    method_name,
    milliseconds,
    nothing,
    path_value,
    port_of,
    property_of,
    query_parameter,
    remote_address,
    request_header,
    response_code,
    response_header,
    start_time,
    start_time_local,
)


def _plain(of_stream: StreamValue, of_connection: ConnectionValue = nothing) -> Build:
    """An operator without an argument."""

    def build(argument: str | None) -> Pair:
        if argument is not None:
            raise ConfigError(f"takes no argument, not {argument!r}")
        return of_stream, of_connection

    return build


def _shared(value: Callable[[Any], object]) -> Build:
    """Read from an attribute that streams and connections have in common."""
    return _plain(value, value)


def _of_connection(value: ConnectionValue) -> Build:
    """Of the downstream connection, whichever the subject."""
    return _plain(lambda stream: value(stream.connection), value)


def _hostname(argument: str | None) -> Pair:
    name = socket.gethostname()
    return _plain(lambda stream: name, lambda connection: name)(argument)


OPERATORS: dict[str, Build] = {
    "START_TIME": start_time,
    "START_TIME_LOCAL": start_time_local,
    "EMIT_TIME": emit_time,
    "DURATION": _shared(duration),
    "COMMON_DURATION": common_duration,
    "REQUEST_DURATION": _plain(lambda stream: milliseconds(stream.started, stream.request_ended)),
    "RESPONSE_DURATION": _plain(lambda stream: milliseconds(stream.started, stream.response_started)),
    "RESPONSE_TX_DURATION": _plain(lambda stream: milliseconds(stream.response_started, ended(stream))),
    "PROTOCOL": _plain(lambda stream: stream.request.protocol or None),
    "REQ": request_header,
    "REQUEST_HEADER": request_header,
    "RESP": response_header,
    "RESPONSE_HEADER": response_header,
    "TRAILER": header_of("TRAILER", lambda stream: stream.response.trailers if stream.response else None),
    "RESPONSE_TRAILER": header_of(
        "RESPONSE_TRAILER", lambda stream: stream.response.trailers if stream.response else None
    ),
    "REQUEST_TRAILER": header_of("REQUEST_TRAILER", lambda stream: stream.request.trailers),
    "REQUEST_HEADERS_BYTES": _plain(lambda stream: headers_size(stream.request.headers)),
    "RESPONSE_HEADERS_BYTES": _plain(lambda stream: headers_size(stream.response.headers) if stream.response else 0),
    "RESPONSE_TRAILERS_BYTES": _plain(lambda stream: headers_size(stream.response.trailers) if stream.response else 0),
    "RESPONSE_CODE": _plain(lambda stream: stream.response.status if stream.response else 0, lambda connection: 0),
    "RESPONSE_CODE_DETAILS": details_value,
    "CONNECTION_TERMINATION_DETAILS": _of_connection(lambda connection: connection.details or None),
    "RESPONSE_FLAGS": _shared(lambda subject: ",".join(subject.flags) or None),
    "RESPONSE_FLAGS_LONG": _shared(
        lambda subject: ",".join([FLAG_NAMES.get(flag, flag) for flag in subject.flags]) or None
    ),
    "GRPC_STATUS": grpc_status,
    "GRPC_STATUS_NUMBER": _plain(grpc_number),
    "BYTES_RECEIVED": _shared(lambda subject: subject.bytes_received),
    "BYTES_SENT": _shared(lambda subject: subject.bytes_sent),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _plain(lambda stream: stream.attempts, lambda connection: 0),
    "UPSTREAM_CLUSTER": _shared(lambda subject: subject.upstream_cluster or None),
    "UPSTREAM_CLUSTER_RAW": _shared(lambda subject: subject.upstream_cluster or None),
    "UPSTREAM_HOST": _shared(lambda subject: subject.upstream_host or None),
    "UPSTREAM_REMOTE_ADDRESS": _shared(lambda subject: subject.upstream_host or None),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _shared(lambda subject: host_of(subject.upstream_host)),
    "UPSTREAM_REMOTE_PORT": _shared(lambda subject: port_of(subject.upstream_host)),
    "UPSTREAM_LOCAL_ADDRESS": _shared(lambda subject: subject.upstream_local or None),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _shared(lambda subject: host_of(subject.upstream_local)),
    "UPSTREAM_LOCAL_PORT": _shared(lambda subject: port_of(subject.upstream_local)),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _shared(lambda subject: "_".join(subject.upstream_failure.split()) or None),
    "DOWNSTREAM_REMOTE_ADDRESS": _plain(remote_address, lambda connection: connection.peer or None),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _plain(
        lambda stream: host_of(remote_address(stream) or ""), lambda connection: host_of(connection.peer)
    ),
    "DOWNSTREAM_REMOTE_PORT": _plain(
        lambda stream: port_of(remote_address(stream) or ""), lambda connection: port_of(connection.peer)
    ),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _of_connection(lambda connection: connection.peer or None),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _of_connection(lambda connection: host_of(connection.peer)),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": _of_connection(lambda connection: port_of(connection.peer)),
    "DOWNSTREAM_LOCAL_ADDRESS": _of_connection(lambda connection: connection.local or None),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _of_connection(lambda connection: host_of(connection.local)),
    "DOWNSTREAM_LOCAL_PORT": _of_connection(lambda connection: port_of(connection.local)),
    "REQUESTED_SERVER_NAME": _of_connection(lambda connection: connection.server_name or None),
    "CONNECTION_ID": _of_connection(lambda connection: connection.id),
    "STREAM_ID": _plain(lambda stream: stream.request.id),
    "ROUTE_NAME": _plain(lambda stream: stream.route.name or None if stream.route else None),
    "HOSTNAME": _hostname,
    "QUERY_PARAM": query_parameter,
    "PATH": path_value,
    "METHOD": _plain(method_name),
    "HOST": _plain(lambda stream: stream.request.authority or None),
    "REQUEST_PROPERTY": property_of("REQUEST_PROPERTY", lambda stream: stream.request),
    "RESPONSE_PROPERTY": property_of("RESPONSE_PROPERTY", lambda stream: stream.response),
    "GENERIC_RESPONSE_CODE": _plain(response_code),
    "DYNAMIC_METADATA": dynamic_metadata,
    "FILTER_STATE": filter_state,
    "ENVIRONMENT": environment,
}
