"""What routing needs of a content: the method of a SOFARPC request whose headers do not name it.

Node's clients write one header, the service; the method is a field of the ``SofaRequest`` at the head of the content,
in Hessian. It is read when somebody asks for it. The object ends where its own bytes say, so the same bytes at the head
of another content are the same object: calls of one method are told by a look-up, not read again.
"""

from __future__ import annotations

from plait_protocol_hessian import Decoder, Dialect, HessianError, HessianObject, Limits

SOFA_REQUEST = b"com.alipay.sofa.rpc.core.request.SofaRequest"
LOOKED_AT_BYTES = 4096
"""As much of a content that comes in pieces is looked at: the object is at its head, the arguments behind it."""

_READ_AT_MOST = Limits(depth=32, objects=1024, classes=64, fields=256, text_length=1 << 16, number_keys=64)
"""What routing reads of a content: far more than SOFARPC puts in front of the arguments, far less than costs time."""

_LIMIT = 1024
_LENGTHS_LIMIT = 16
_methods: dict[bytes, bytes] = {}
_lengths: list[int] = []


def method_of(content: bytes) -> bytes:
    """The method that a ``SofaRequest`` in Hessian calls; empty where the content does not say."""
    for length in _lengths:
        method = _methods.get(content[:length])
        if method is not None:
            return method
    fields, end = _read(content)
    name = fields.get("methodName")
    if not isinstance(name, str):
        return b""
    method = name.encode("utf-8", "surrogatepass")
    _remember(content[:end], method)
    return method


def fields_of(content: bytes) -> dict[str, object]:
    """The fields of the ``SofaRequest`` in Hessian at the head of a content; none where there is none."""
    return _read(content)[0]


def _read(content: bytes) -> tuple[dict[str, object], int]:
    decoder = Decoder(content, 0, dialect=Dialect.SOFA3, limits=_READ_AT_MOST)
    try:
        request = decoder.read()
    except HessianError:
        return {}, 0
    return (request.fields, decoder.at) if isinstance(request, HessianObject) else ({}, 0)


def _remember(object: bytes, method: bytes) -> None:
    if len(object) > LOOKED_AT_BYTES:
        return
    if len(_methods) >= _LIMIT or (len(object) not in _lengths and len(_lengths) >= _LENGTHS_LIMIT):
        _methods.clear()
        _lengths.clear()
    _methods[object] = method
    if len(object) not in _lengths:
        _lengths.append(len(object))
