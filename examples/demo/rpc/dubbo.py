"""Dubbo 2.0.2 with hessian2.

    offset  size
       0     2    magic da bb
       2     1    flags: 80 request, 40 two-way, 20 event; low five bits: serialization, 2 is hessian2
       3     1    status of a response
       4     8    id
      12     4    length of the body

The body of a request: Dubbo's version, interface, version of the service, method, JVM types of the parameters,
arguments, attachments. Of a response with status 20: a kind, the value, attachments; with another status: a text.
All numbers are big-endian.
"""

from asyncio import StreamReader
from struct import Struct

from call import SERVICE, TIMEOUT_MS, Answer, Call

from plait_protocol_hessian import dumps, loads

HEAD = Struct(">HBBqi")
MAGIC, HESSIAN2 = 0xDABB, 2
REQUEST, TWO_WAY, EVENT = 0x80, 0x40, 0x20
OK, BAD_REQUEST = 20, 40
EXCEPTION, VALUE, WITH_ATTACHMENTS = 0, 1, 3
DUBBO_VERSION, SERVICE_VERSION = "2.0.2", "1.0.0"


def request(id: int, method: str, argument: str, app: str) -> bytes:
    """The frame of a call."""
    attachments = {
        "path": SERVICE,
        "remote.application": app,
        "interface": SERVICE,
        "version": SERVICE_VERSION,
        "timeout": str(TIMEOUT_MS),
    }
    body = dumps(DUBBO_VERSION, SERVICE, SERVICE_VERSION, method, "Ljava/lang/String;", argument, attachments)
    return HEAD.pack(MAGIC, REQUEST | TWO_WAY | HESSIAN2, 0, id, len(body)) + body


async def read_call(reader: StreamReader) -> Call:
    """The next call or heartbeat."""
    flags, _, id, body = await _frame(reader)
    if not flags & REQUEST:
        raise ValueError("a response, where calls are taken")
    if flags & EVENT:
        return Call(id, "", "")
    _dubbo, _interface, _version, method, _types, *arguments, _attachments = loads(body)
    return Call(id, method, str(arguments[0]) if arguments else "")


def result(id: int, text: str) -> bytes:
    """The answer to a call that went well."""
    return _response(id, OK, dumps(VALUE + WITH_ATTACHMENTS, text, {"dubbo": DUBBO_VERSION}))


def failure(id: int, reason: str) -> bytes:
    """The answer to a call that could not be made."""
    return _response(id, BAD_REQUEST, dumps(reason))


def heartbeat_answer(id: int) -> bytes:
    """Yes, it lives."""
    body = dumps(None)
    return HEAD.pack(MAGIC, EVENT | HESSIAN2, OK, id, len(body)) + body


async def read_answer(reader: StreamReader) -> Answer:
    """The next answer; events, such as that the other side would rather have no more calls, are passed over."""
    while True:
        flags, status, id, body = await _frame(reader)
        if not flags & (REQUEST | EVENT):
            break
    values = loads(body)
    if status != OK:
        return Answer(id, "", f"Dubbo status {status}: {values[0]}")
    kind, value = values[0] % WITH_ATTACHMENTS, values[1] if len(values) > 1 else None
    if kind == EXCEPTION:
        return Answer(id, "", f"{value.type_name}: {value.fields['detailMessage']}")
    return Answer(id, str(value) if kind == VALUE else "null", "")


def _response(id: int, status: int, body: bytes) -> bytes:
    return HEAD.pack(MAGIC, HESSIAN2, status, id, len(body)) + body


async def _frame(reader: StreamReader) -> tuple[int, int, int, bytes]:
    magic, flags, status, id, length = HEAD.unpack(await reader.readexactly(HEAD.size))
    if magic != MAGIC or length < 0:
        raise ValueError("no frame of Dubbo")
    return flags, status, id, await reader.readexactly(length)
