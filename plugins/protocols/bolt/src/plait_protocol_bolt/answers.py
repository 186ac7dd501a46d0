"""Statuses in both directions, and the answers that Plait gives itself.

What clients make of a status decides the mapping (sofa-bolt 1.6.12 ``RpcResponseResolver``, SOFARPC 5.13
``BoltClientTransport``, sofa-bolt-node 2.0.1 ``rpc_res_cmd``):

====  ==============  =========================================================================================
code  in HTTP's       what a Java caller sees (``RpcErrorType``); Node shows the message, whatever the code
====  ==============  =========================================================================================
0     200             the result, or the application's own exception
1     500             CLIENT_UNDECLARED_ERROR, "Rpc invocation exception: ERROR"
2     500             SERVER_UNDECLARED_ERROR with the exception in the content: the one code whose text arrives
3     500             CLIENT_UNDECLARED_ERROR, UNKNOWN
4     503             SERVER_BUSY: the one, beside timeouts, that SOFARPC's failover tries again
5     502             CLIENT_UNDECLARED_ERROR, ERROR_COMM
6     404             CLIENT_UNDECLARED_ERROR, NO_PROCESSOR
7     504             CLIENT_TIMEOUT
8     502             CLIENT_NETWORK
9     400             CLIENT_UNDECLARED_ERROR, "Codec exception!"
0x10  502             CLIENT_NETWORK, "Connection closed!"
0x11  500             SERVER_SERIALIZE
0x12  400             SERVER_DESERIALIZE
====  ==============  =========================================================================================

An error carries what Java's own servers send, an ``RpcServerException`` in Hessian whatever the request's codec was.
"""

from __future__ import annotations

from plait.api import Headers, Request, Response
from plait_protocol_bolt.block import EMPTY
from plait_protocol_bolt.content import SOFA_REQUEST
from plait_protocol_bolt.frame import (
    HESSIAN,
    RESPONSE_COMMAND,
    RESPONSE_TYPE,
    V1,
    BoltFrame,
    head_of,
)

SUCCESS = 0
SERVER_EXCEPTION = 2
THREADPOOL_BUSY = 4
ERROR_COMM = 5
NO_PROCESSOR = 6
TIMEOUT = 7
CODEC_EXCEPTION = 9
CONNECTION_CLOSED = 0x10

STATUSES = {0: 200, 4: 503, 5: 502, 6: 404, 7: 504, 8: 502, 9: 400, 0x10: 502, 0x12: 400}
"""HTTP's status of each of Bolt's; the others are 500."""

_CODES = {
    400: CODEC_EXCEPTION,
    404: NO_PROCESSOR,
    408: TIMEOUT,
    413: CODEC_EXCEPTION,
    429: THREADPOOL_BUSY,
    431: CODEC_EXCEPTION,
    502: ERROR_COMM,
    503: THREADPOOL_BUSY,
    504: TIMEOUT,
}
_GONE = ("no_healthy_upstream", "cluster_not_found", "upstream_reset_")

RESPONSE_CLASS = b"com.alipay.sofa.rpc.core.response.SofaResponse"
EXCEPTION_CLASS = b"com.alipay.remoting.rpc.exception.RpcServerException"
APPLICATION_EXCEPTION = b"application exception"
"""``Response.reason`` of a response that carries an exception of the application, with status 200."""

_LONGEST_TEXT = 4096


def code_of(status: int, details: str = "") -> int:
    """Bolt's status for one of HTTP's; ``details`` tells an upstream that is gone from one that is busy."""
    if status < 400:
        return SUCCESS
    if status == 503 and details.startswith(_GONE) and "overflow" not in details:
        return CONNECTION_CLOSED
    return _CODES.get(status, SERVER_EXCEPTION)


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of our own: an exception with ``body`` as its text, or a result that is that text."""
    asked = request.native
    layout = asked.layout if isinstance(asked, BoltFrame) else V1
    code = code_of(status, details)
    text = body.decode("utf-8", "replace") or details
    codec, class_name = HESSIAN, EXCEPTION_CLASS
    if code != SUCCESS:
        content = exception(text)
    elif isinstance(asked, BoltFrame):
        codec, class_name = asked.codec, RESPONSE_CLASS
        hessian = codec == HESSIAN and asked.raw_class_name == SOFA_REQUEST
        content = result(text) if hessian else body
    else:
        class_name, content = RESPONSE_CLASS, result(text)
    head = head_of(layout, RESPONSE_TYPE, RESPONSE_COMMAND, request.id, codec, code, class_name, b"", len(content))
    response = Response(status, Headers(EMPTY), request.id, b"", "bolt", content)
    response.code = code
    response.native = BoltFrame(head, layout, len(content), EMPTY)
    return response


# Hessian as SOFA's 3.x writes it: ``O`` length name, count, field names; ``o`` number of the definition, values.


def exception(text: str) -> bytes:
    """An ``RpcServerException`` with a message. Its stack is empty, but it has one: by that Node knows an exception."""
    fields = b"\x92\x0ddetailMessage\x0astackTraceo\x90"
    stack = b"Vt\x00\x1c[java.lang.StackTraceElementn\x00z"
    return b"O" + _int(len(EXCEPTION_CLASS)) + EXCEPTION_CLASS + fields + _string(text) + stack


def result(text: str) -> bytes:
    """A ``SofaResponse`` whose value is a string."""
    fields = b"\x94\x07isError\x08errorMsg\x0bappResponse\x0dresponsePropso\x90"
    return b"O" + _int(len(RESPONSE_CLASS)) + RESPONSE_CLASS + fields + b"FN" + _string(text) + b"N"


def _int(value: int) -> bytes:
    """An integer from 0 to 2047."""
    return bytes((0x90 + value,)) if value < 48 else bytes((0xC8 + (value >> 8), value & 0xFF))


def _string(text: str) -> bytes:
    """A string; characters outside the BMP, which Hessian writes as two, become question marks."""
    kept = "".join(letter if letter < "\U00010000" and not "\ud800" <= letter < "\ue000" else "?" for letter in text)
    kept = kept[:_LONGEST_TEXT]
    written = kept.encode()
    return (bytes((len(kept),)) if len(kept) < 32 else b"S" + len(kept).to_bytes(2, "big")) + written
