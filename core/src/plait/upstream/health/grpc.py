"""A host is well that calls the service SERVING which gRPC's health service is asked for.

The call is ``grpc.health.v1.Health/Check``. Both messages are small enough to be read and written here; in a body,
each stands behind gRPC's prefix::

    0      1                      5
    +------+----------------------+---------------------------------+
    | flag | length (big-endian)  | message                         |
    +------+----------------------+---------------------------------+

    HealthCheckRequest   service = 1 (string)
    HealthCheckResponse  status = 1 (enum: UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3)

Source: "GRPC Health Checking Protocol", "gRPC over HTTP2", Protocol Buffers "Encoding".
"""

from __future__ import annotations

from plait.api.config import GrpcHealthCheck
from plait.api.message import Request, Response
from plait.api.protocol import ProtocolType
from plait.upstream.cluster import Host
from plait.upstream.health.http import RequestProbe
from plait.upstream.health.probe import CheckFailed

PATH = "/grpc.health.v1.Health/Check"
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class GrpcProbe(RequestProbe):
    """A call of ``grpc.health.v1.Health/Check``."""

    limit_bytes = 64 * 1024

    def __init__(self, kind: GrpcHealthCheck, target: Host, reuse: bool, protocol: ProtocolType) -> None:
        super().__init__(target, reuse, protocol)
        self._kind = kind
        self._body = check_request(kind.service_name)

    def request(self) -> Request:
        request = self.made("POST", PATH, self._kind.authority, self._kind.fields)
        request.body = self._body
        return request

    def judge(self, response: Response) -> None:
        if response.status != 200:
            raise CheckFailed(f"the answer is {response.status}", at_once=True)
        code = response.trailers.find(b"grpc-status") if response.trailers is not None else None
        if code is None:  # an answer without a message has it in its head
            code = response.headers.find(b"grpc-status")
        if code != b"0":
            what = "there is no grpc-status" if code is None else f"grpc-status is {code.decode('latin-1')}"
            raise CheckFailed(what, at_once=True)
        status = serving_status(response.body)
        if status != _SERVING:
            name = _STATUSES[status] if status < len(_STATUSES) else str(status)
            raise CheckFailed(f"the service is {name}", at_once=True)


def check_request(service: str) -> bytes:
    """The body of a HealthCheckRequest; an empty ``service`` asks about the server as a whole."""
    name = service.encode()
    message = bytes([1 << 3 | _BYTES]) + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def serving_status(body: bytes) -> int:
    """``status`` of the one HealthCheckResponse in a body; raises CheckFailed for anything else."""
    if len(body) < 5 or body[0] or len(body) != 5 + int.from_bytes(body[1:5], "big"):
        raise _no_response()
    status, at = 0, 5
    while at < len(body):
        tag, at = _read_varint(body, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, at = _read_varint(body, at)
            if tag >> 3 == 1:
                status = value
        elif wire_type == _BYTES:
            size, at = _read_varint(body, at)
            at += size
        elif wire_type in (_FIXED32, _FIXED64):
            at += 4 if wire_type == _FIXED32 else 8
        else:
            raise _no_response()
    if at > len(body):
        raise _no_response()
    return status


def _no_response() -> CheckFailed:
    return CheckFailed("the answer is no HealthCheckResponse", at_once=True)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    number = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise _no_response()
