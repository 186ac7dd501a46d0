"""The body of a message that filters changed: what they left alone stays byte for byte.

Attachments are written anew from the entries as they came and new strings. Values that are no strings may refer to
classes, types and values that stand before them, by numbers. Strings do not count there, so they can come and go; other
values stay where they are, and one of them can be removed only when no other follows.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait.api import Field, LocalProtocolError, Request
from plait_protocol_dubbo.call import DubboCall, DubboResult, LazyBlock
from plait_protocol_dubbo.form import Attachments, BrokenBody, Form
from plait_protocol_dubbo.frame import NULL, WITH_ATTACHMENTS
from plait_protocol_dubbo.front import BrokenFront, read_front
from plait_protocol_dubbo.messages import DubboRequest, DubboResponse


def request_body(request: DubboRequest) -> bytes:
    """The body of a request; of a streamed one what is there of it.

    A streamed request cannot have other attachments, and neither can one whose attachments are broken or of a
    serialization that is not read: there, what filters did with headers has no effect.
    """
    call = request.call
    if request.body is not request.raw and not call.streamed:
        call = _reread(request, call)
    body = call.body if not call.streamed else request.body
    form = call.form
    if form is None:
        return body
    front = call.front
    headers = request.headers
    if headers.changed and not call.streamed and (headers.added or headers.block is not request.native):
        body = _with_attachments(form, body, call, headers.raw)
    if front.length and (request.raw_authority != front.path or request.raw_path != front.method):
        strings = (front.dubbo_version, request.raw_authority, front.version, request.raw_path)
        body = b"".join([form.encode_str(text) for text in strings]) + body[front.length :]
    return body


def _reread(request: DubboRequest, call: DubboCall) -> DubboCall:
    """The call of a body that a filter wrote."""
    body = request.body
    try:
        front = read_front(call.flag & 0x1F, body, 0, len(body))
    except BrokenFront as error:
        raise LocalProtocolError("a filter left no request in the body", status=500) from error
    made = DubboCall(call.flag, body, len(body), front)
    made.spelling = call.spelling
    return made


def response_body(request: Request, response: DubboResponse) -> bytes:
    """The body of a response; attachments are added only where the caller understands them."""
    result = response.result
    if response.body is not response.raw and not result.streamed:
        made = DubboResult(result.flag, response.body, len(response.body), result.status)
        made.spelling = result.spelling
        result = made
    body = result.body if not result.streamed else response.body
    headers = response.headers
    form = result.form
    if form is None or result.streamed or not (headers.added or headers.block is not response.native):
        return body
    kind, end = result.kind_and_end()
    if kind >= WITH_ATTACHMENTS:
        return _with_attachments(form, body, result, headers.raw)
    call = request.native
    if kind < 0 or not headers.raw or type(call) is not DubboCall or not call.takes_attachments():
        return body
    try:
        value_end = form.behind(body, end, 0 if kind == NULL else 1)
    except BrokenBody:
        return body
    entries = [form.encode_entry(result.spelling.get(name, name), value) for name, value in headers.raw]
    parts = [form.encode_kind(kind + WITH_ATTACHMENTS), body[end:value_end], form.encode_map(entries), body[value_end:]]
    return b"".join(parts)


def _with_attachments(form: Form, body: bytes, block: LazyBlock, wanted: Sequence[Field]) -> bytes:
    found = block.found()
    return body if found is None else form.splice(body, found, _entries(form, found, wanted, block.spelling))


def _entries(form: Form, found: Attachments, wanted: Sequence[Field], spelling: dict[bytes, bytes]) -> list[bytes]:
    left: dict[bytes, list[bytes]] = {}
    for name, value in wanted:
        left.setdefault(name, []).append(value)
    pieces: list[bytes] = []
    lost = b""
    for entry in found.entries:
        values = left.get(entry.lower)
        if values and entry.value in values:
            values.remove(entry.value)
            kept = True
            pieces.append(entry.raw)
        else:
            kept = False
            if values:
                pieces.append(form.encode_entry(entry.name, values.pop(0)))
        if not entry.simple:
            if lost:
                text = lost.decode("utf-8", "replace")
                raise LocalProtocolError(f"attachment {text!r} cannot go, others may refer to it", status=500)
            if not kept:
                lost = entry.name
    for name, values in left.items():
        pieces += [form.encode_entry(spelling.get(name, name), value) for value in values]
    return pieces
