"""The attachments of a large message, for filters that waited until all of its body was there."""

from __future__ import annotations

from plait.api import Headers, Request, Response
from plait_protocol_dubbo.call import DubboCall, DubboResult


def read_whole(message: Request | Response) -> bool:
    """Make ``headers`` and ``native`` those of all the body, where it is there: whether it is.

    Of a message that passes in pieces no attachments are known, and none can be changed. A filter that has to asks for
    the body first (``await stream.request_body(limit)`` or ``response_body``) and calls this then. What filters did
    with ``headers`` before is done again. Messages that came whole stay as they are.
    """
    native = message.native
    if not message.end or not isinstance(native, DubboCall | DubboResult):
        return False
    if not native.streamed:
        return True
    body, known = message.body, message.headers
    made: DubboCall | DubboResult
    if isinstance(native, DubboCall):
        made = DubboCall(native.flag, body, len(body), native.front)
    else:
        made = DubboResult(native.flag, body, len(body), native.status)
    made.spelling = native.spelling
    headers = Headers(made)
    if known.changed:
        for name, _ in native.raw:
            if known.find(name) is None:
                headers.delete(name)
        for name, value in known.raw:
            if native.index.get(name) != value:
                headers.put(name, value)
        headers.changed = True  # the service or the method may be another
    message.native = made
    message.raw = body
    message.headers = headers
    return True
