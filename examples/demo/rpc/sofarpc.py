"""SOFARPC: a SofaRequest and a SofaResponse, in Hessian, in frames of Bolt v1.

    0      1     2        4     5    9      request: 10       14        16         18          22
    proto  type  command  ver2  id   codec           timeout  classLen  headerLen  contentLen  class, headers, content
    u8 =1  u8    u16      u8    u32  u8              i32      u16       u16        u32
                                            response: 10      12        14         16          20
                                                      status  classLen  headerLen  contentLen  class, headers, content
                                                      u16     u16       u16        u32

Headers are names and values, each with its length in four bytes before it. All numbers are big-endian.
"""

from asyncio import StreamReader
from struct import Struct

from call import SERVICE, TIMEOUT_MS, Answer, Call

from plait_protocol_hessian import Dialect, HessianObject, TypedList, dumps, loads

REQUEST_HEAD, RESPONSE_HEAD = Struct(">BBHBIBiHHI"), Struct(">BBHBIBHHHI")
BOLT_V1, HESSIAN = 1, 1
RESPONSE_TYPE, REQUEST_TYPE = 0, 1
HEARTBEAT, REQUEST, RESPONSE = 0, 1, 2
REQUEST_CLASS = "com.alipay.sofa.rpc.core.request.SofaRequest"
RESPONSE_CLASS = "com.alipay.sofa.rpc.core.response.SofaResponse"
SERVICE_NAME = f"{SERVICE}:1.0"


def request(id: int, method: str, argument: str, app: str) -> bytes:
    """The frame of a call."""
    headers = {
        "sofa_head_target_service": SERVICE_NAME,
        "app": app,
        "protocol": "bolt",
        "service": SERVICE_NAME,
        "sofa_head_method_name": method,
        "type": "sync",
    }
    call = HessianObject(
        REQUEST_CLASS,
        {
            "targetAppName": None,
            "methodName": method,
            "targetServiceUniqueName": SERVICE_NAME,
            "requestProps": {"app": app, "protocol": "bolt", "type": "sync"},
            "methodArgSigs": TypedList("[string", ["java.lang.String"]),
        },
    )
    name, block, content = REQUEST_CLASS.encode(), _block(headers), dumps(call, argument, dialect=Dialect.SOFA3)
    lengths = len(name), len(block), len(content)
    head = REQUEST_HEAD.pack(BOLT_V1, REQUEST_TYPE, REQUEST, 1, id, HESSIAN, TIMEOUT_MS, *lengths)
    return head + name + block + content


async def read_call(reader: StreamReader) -> Call:
    """The next call or heartbeat."""
    head = REQUEST_HEAD.unpack(await reader.readexactly(REQUEST_HEAD.size))
    if head[:2] != (BOLT_V1, REQUEST_TYPE):
        raise ValueError("no request of Bolt v1")
    content = await _content(reader, *head[-3:])
    if head[2] == HEARTBEAT:
        return Call(head[4], "", "")
    call, *arguments = loads(content, dialect=Dialect.SOFA3)
    return Call(head[4], call.fields["methodName"], str(arguments[0]) if arguments else "")


def result(id: int, text: str) -> bytes:
    """The answer to a call that went well."""
    return _response(id, {"isError": False, "errorMsg": None, "appResponse": text, "responseProps": None})


def failure(id: int, reason: str) -> bytes:
    """The answer to a call that SOFARPC could not make: the frame was fine, so Bolt's status is success."""
    return _response(id, {"isError": True, "errorMsg": reason, "appResponse": None, "responseProps": None})


def heartbeat_answer(id: int) -> bytes:
    """Yes, it lives."""
    return RESPONSE_HEAD.pack(BOLT_V1, RESPONSE_TYPE, HEARTBEAT, 1, id, HESSIAN, 0, 0, 0, 0)


async def read_answer(reader: StreamReader) -> Answer:
    """The next answer."""
    head = RESPONSE_HEAD.unpack(await reader.readexactly(RESPONSE_HEAD.size))
    if head[:2] != (BOLT_V1, RESPONSE_TYPE):
        raise ValueError("no response of Bolt v1")
    id, status = head[4], head[6]
    [answer] = loads(await _content(reader, *head[-3:]), dialect=Dialect.SOFA3)
    if status:  # Bolt's own errors carry an exception
        return Answer(id, "", f"Bolt status {status}: {answer.fields['detailMessage']}")
    if answer.fields["isError"]:
        return Answer(id, "", f"SOFARPC: {answer.fields['errorMsg']}")
    value = answer.fields["appResponse"]
    if isinstance(value, HessianObject) and "detailMessage" in value.fields:
        return Answer(id, "", f"{value.type_name}: {value.fields['detailMessage']}")
    return Answer(id, str(value), "")


def _response(id: int, fields: dict[str, object]) -> bytes:
    name = RESPONSE_CLASS.encode()
    content = dumps(HessianObject(RESPONSE_CLASS, fields), dialect=Dialect.SOFA3)
    head = RESPONSE_HEAD.pack(BOLT_V1, RESPONSE_TYPE, RESPONSE, 1, id, HESSIAN, 0, len(name), 0, len(content))
    return head + name + content


def _block(headers: dict[str, str]) -> bytes:
    texts = (text.encode() for pair in headers.items() for text in pair)
    return b"".join(len(text).to_bytes(4, "big") + text for text in texts)


async def _content(reader: StreamReader, class_length: int, block_length: int, content_length: int) -> bytes:
    await reader.readexactly(class_length + block_length)
    return await reader.readexactly(content_length)
