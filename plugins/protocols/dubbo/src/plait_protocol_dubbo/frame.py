"""The frame of Dubbo 2, and the numbers in it.

::

    offset  size
       0     2    magic da bb
       2     1    flags: 80 request, 40 two-way, 20 event; low five bits: serialization
       3     1    status (of responses; 0 in requests)
       4     8    id
      12     4    length of the body
      16          body, in the serialization that the flags name

    body of a request    Dubbo version, path (the interface), service version, method, JVM descriptor of the parameters,
                         arguments, attachments (a map)
    body of a response   status 20: kind (0 exception, 1 value, 2 null; 3, 4, 5 the same with attachments), value or
                         exception, attachments; any other status: a string
    body of an event     null (a heartbeat), or the string R (read-only) or W (writable)

All numbers are big-endian. Source: ``ExchangeCodec`` and ``DubboCodec`` of Apache Dubbo.
"""

from __future__ import annotations

from struct import Struct

HEAD = Struct(">HBBqi")
HEAD_BYTES = 16
MAGIC = 0xDABB
MAGIC_BYTES = b"\xda\xbb"

# The same with magic and flags as the three bytes that they are, the *lead*: frames of one kind have one lead.
REQUEST_HEAD = Struct(">3sxqI")
RESPONSE_HEAD = Struct(">3sBqI")
LONGEST_BODY = 0x7FFFFFFF
"""The length is a signed number."""

REQUEST = 0x80
TWO_WAY = 0x40
EVENT = 0x20
SERIALIZATION = 0x1F

RESPONSE_LEADS = frozenset(MAGIC_BYTES + bytes((flag,)) for flag in range(256) if not flag & (REQUEST | EVENT))

HESSIAN2 = 2
JAVA = 3
COMPACTED_JAVA = 4
FASTJSON = 6
NATIVE_JAVA = 7
NATIVE_HESSIAN = 10
GSON = 16
PROTOBUF_JSON = 21
FASTJSON2 = 23

NAMES = {
    HESSIAN2: "hessian2",
    JAVA: "java",
    COMPACTED_JAVA: "compactedjava",
    FASTJSON: "fastjson",
    NATIVE_JAVA: "nativejava",
    8: "kryo",
    9: "fst",
    NATIVE_HESSIAN: "native-hessian",
    11: "avro",
    12: "protostuff",
    GSON: "gson",
    PROTOBUF_JSON: "protobuf-json",
    22: "protobuf",
    FASTJSON2: "fastjson2",
    25: "kryo2",
    27: "msgpack",
}

HESSIANS = frozenset({HESSIAN2, NATIVE_HESSIAN})

OK = 20
CLIENT_TIMEOUT = 30
SERVER_TIMEOUT = 31
CHANNEL_INACTIVE = 35
BAD_REQUEST = 40
BAD_RESPONSE = 50
SERVICE_NOT_FOUND = 60
SERVICE_ERROR = 70
SERVER_ERROR = 80
CLIENT_ERROR = 90
POOL_EXHAUSTED = 100

# Kinds of a response with status OK.
EXCEPTION = 0
VALUE = 1
NULL = 2
WITH_ATTACHMENTS = 3  # is added to those

READONLY = b"R"
