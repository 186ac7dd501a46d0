"""Errors in Dubbo's terms and in HTTP's, and the answers that Plait gives itself.

What clients make of a status other than 20, and of an exception (seen with Java 3.3.6; read in the others):

=====================  ==================================  ===============================  =======================
client                 30, 31                              any other status                 20, an exception
=====================  ==================================  ===============================  =======================
Java 2.7, 3            RpcException TIMEOUT; tried again   RpcException NETWORK with the    is thrown as it is;
                       at another provider                 text; tried again elsewhere      not tried again
dubbo-go 3             an error with the text              an error with the text           an error
dubbo2.js, dubbo-js    DubboDecodeError, the bytes as text DubboDecodeError, the same       the exception's Error
dubbo-ssl-python       DubboResponseException              the same; 35 and 100: KeyError   the value is returned
=====================  ==================================  ===============================  =======================

All of them keep the connection. A string in the place of the exception, as Envoy writes it, is for Java an error in the
response (``expect Throwable``). So a refusal that trying again cannot help (401, 403) is a
``java.lang.RuntimeException``, which every Java has, and everything else is a status. 100 is not used for overload,
because 80 says the same to everybody.
"""

from __future__ import annotations

from plait.api import Headers, Request, Response
from plait_protocol_dubbo import frame
from plait_protocol_dubbo.call import DubboCall
from plait_protocol_dubbo.forms import FORMS, HESSIAN

_CODES = {
    400: frame.BAD_REQUEST,
    404: frame.SERVICE_NOT_FOUND,
    408: frame.SERVER_TIMEOUT,
    413: frame.BAD_REQUEST,
    431: frame.BAD_REQUEST,
    502: frame.BAD_RESPONSE,
    504: frame.SERVER_TIMEOUT,
}

STATUSES = {
    frame.OK: 200,
    frame.CLIENT_TIMEOUT: 504,
    frame.SERVER_TIMEOUT: 504,
    frame.CHANNEL_INACTIVE: 503,
    frame.BAD_REQUEST: 400,
    frame.BAD_RESPONSE: 502,
    frame.SERVICE_NOT_FOUND: 404,
    frame.SERVICE_ERROR: 500,
    frame.SERVER_ERROR: 500,
    frame.CLIENT_ERROR: 500,
    frame.POOL_EXHAUSTED: 503,
}
"""Dubbo's status in HTTP's terms; any other is 500."""
HTTP_STATUSES = tuple(STATUSES.get(status, 500) for status in range(256))
"""The same of every status that there can be."""

_REFUSED = (401, 403)


def code_of(status: int) -> int:
    """Dubbo's status for an answer with HTTP's; 20 also for what is said by an exception."""
    if status < 400 or status in _REFUSED:
        return frame.OK
    return _CODES.get(status) or (frame.SERVICE_ERROR if status < 500 else frame.SERVER_ERROR)


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of our own; its text becomes the message of the error, or the value of a 200."""
    response = Response(status, Headers([]), request.id)
    response.protocol = "dubbo"
    response.body = body
    response.code = code_of(status)
    if not body and status >= 400:
        response.body = details.encode() or b"HTTP status %d" % status
    return response


def encode_local(request: Request, response: Response, flag: int) -> tuple[int, int, bytes]:
    """Serialization, status and body for an answer that came from no Dubbo server.

    ``flag`` is that of the request. Where its serialization is not written here, the answer is in Hessian, which Dubbo
    clients read in any case.
    """
    serialization = flag & frame.SERIALIZATION
    form = FORMS.get(serialization)
    if form is None:
        form, serialization = HESSIAN, frame.HESSIAN2
    status, text = response.status, response.body
    code = code_of(status)
    if code != frame.OK:
        return serialization, code, form.encode_str(text)
    call = request.native
    fields = response.headers.raw if type(call) is DubboCall and call.takes_attachments() else []
    kind = frame.EXCEPTION if status >= 400 else frame.VALUE if text else frame.NULL
    value = form.encode_exception(text) if status >= 400 else form.encode_str(text) if text else b""
    if not fields:
        return serialization, code, form.encode_kind(kind) + value
    attachments = form.encode_map([form.encode_entry(name, value) for name, value in fields])
    return serialization, code, form.encode_kind(kind + frame.WITH_ATTACHMENTS) + value + attachments
