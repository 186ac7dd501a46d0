"""Frames of SOFABolt, v1 and v2: their layout, what is known of one, and how a head is written.

All integers are big-endian. A frame is a fixed part, then ``classLen`` bytes of class name, ``headerLen`` bytes of
header block (``plait_protocol_bolt.block``) and ``contentLen`` bytes of content::

    v1   0      1     2        4     5    9      request: 10       14        16         18          22
         proto  type  command  ver2  id   codec           timeout  classLen  headerLen  contentLen
         u8 =1  u8    u16      u8    u32  u8              i32      u16       u16        u32
                                                 response: 10      12        14         16          20
                                                           status  classLen  headerLen  contentLen
                                                           u16     u16       u16        u32

    v2   0      1     2     3        5     6    10     11      request: 12       16        18         20          24
         proto  ver1  type  command  ver2  id   codec  switch           timeout  classLen  headerLen  contentLen
         u8 =2  u8    u8    u16      u8    u32  u8     u8      response: 12      14        16         18          22
                                                                         status  classLen  headerLen  contentLen

type: 0 response, 1 request, 2 one-way request. command: 0 heartbeat, 1 request, 2 response, 100 goaway. timeout is in
milliseconds. In v2, a CRC-32 (zlib's) of the whole frame before it follows the content iff ver1 is 2 and bit 0 of
switch is set; ``sofa-bolt-node`` goes by the switch alone, so this codec never sets that bit with ver1 1.

Sources: sofa-bolt 1.6.12, ``rpc/protocol/RpcProtocol``, ``RpcProtocolV2``, ``RpcCommandDecoder(V2)``; sofa-bolt-node
2.0.1, ``lib/decoder.js``; MOSN, ``pkg/protocol/xprotocol/bolt/protocol.go`` (goaway). Java and Node read the two short
lengths as signed numbers: what is longer than 32767 bytes is read, but never written anew.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from plait.api import LocalProtocolError, Message, Native
from plait_protocol_bolt.attributes import attribute_of
from plait_protocol_bolt.block import BoltBlock
from plait_protocol_bolt.content import SOFA_REQUEST

RESPONSE_TYPE = 0
REQUEST_TYPE = 1
ONEWAY_TYPE = 2

HEARTBEAT = 0
REQUEST_COMMAND = 1
RESPONSE_COMMAND = 2
GOAWAY_COMMAND = 100

# how a frame is laid out; ``layout > V1`` is v2
V1 = 1
V2 = 2
V2_CRC = 3

HESSIAN = 1

V1_REQUEST = Struct(">BBHBIBiHHI")
V1_RESPONSE = Struct(">BBHBIBHHHI")
V2_REQUEST = Struct(">BBBHBIBBiHHI")
V2_RESPONSE = Struct(">BBBHBIBBHHHI")

# The same fixed parts of v1, with the five bytes in front of the id as they are: what most frames begin with.
WHOLE_REQUEST = Struct(">5sIxiHHI")
WHOLE_RESPONSE = Struct(">5sIxHHHI")
V1_CALL = b"\1\1\0\1\1"
V1_ONEWAY_CALL = b"\1\2\0\1\1"
V1_ANSWER = b"\1\0\0\2\1"

LONGEST_SHORT = 0x7FFF
NO_TIMEOUT = -1


class BoltFrame(Native):
    """What Bolt itself says about a message: ``Message.native`` of every request and response of this protocol.

    Filters read it; to change a message, change the message. ``head`` is everything in front of the content;
    ``content_length`` is known even where the content is still on its way.
    """

    __slots__ = ("beginning", "block", "content_length", "head", "layout")

    def __init__(self, head: bytes, layout: int, content_length: int, block: BoltBlock) -> None:
        self.head: bytes = head
        self.layout: int = layout
        self.content_length: int = content_length
        self.block: BoltBlock = block
        self.beginning: bytes = b""  # of a content that comes in pieces, as far as the method's name is looked for

    @property
    def version(self) -> int:
        """1 or 2: the protocol byte."""
        return self.head[0]

    @property
    def ver1(self) -> int:
        """The version inside v2 (1, or 2 which may have a checksum); 0 in v1."""
        return self.head[1] if self.layout > V1 else 0

    @property
    def type(self) -> int:
        """0 response, 1 request, 2 one-way request."""
        return self.head[1 if self.layout == V1 else 2]

    @property
    def command(self) -> int:
        """1 request, 2 response."""
        at = 2 if self.layout == V1 else 3
        return int.from_bytes(self.head[at : at + 2], "big")

    @property
    def ver2(self) -> int:
        """The version of the command: 1 everywhere so far."""
        return self.head[4 if self.layout == V1 else 5]

    @property
    def id(self) -> int:
        """The id that the frame came with; forwarded, it gets another."""
        at = 5 if self.layout == V1 else 6
        return int.from_bytes(self.head[at : at + 4], "big")

    @property
    def codec(self) -> int:
        """How the content is serialized: 1 Hessian, 2 Java, 11 protobuf, 12 JSON, or what the peers agreed on."""
        return self.head[9 if self.layout == V1 else 10]

    @property
    def switch(self) -> int:
        """The switches of v2; bit 0 asks for a checksum. 0 in v1."""
        return self.head[11] if self.layout > V1 else 0

    @property
    def timeout_ms(self) -> int:
        """A request's timeout as it stands there; 0 in responses."""
        if self.type == RESPONSE_TYPE:
            return 0
        at = 10 if self.layout == V1 else 12
        return int.from_bytes(self.head[at : at + 4], "big", signed=True)

    @property
    def status(self) -> int:
        """A response's status as it stands there; 0 in requests."""
        if self.type != RESPONSE_TYPE:
            return 0
        at = 10 if self.layout == V1 else 12
        return int.from_bytes(self.head[at : at + 2], "big")

    @property
    def class_name(self) -> str:
        """The class of what the content holds."""
        return self.raw_class_name.decode("utf-8", "surrogateescape")

    @property
    def raw_class_name(self) -> bytes:
        """The bytes of ``class_name``."""
        at = self._fixed()
        length = int.from_bytes(self.head[at - 8 : at - 6], "big")
        return self.head[at : at + length]

    def find(self, name: bytes, message: Message) -> bytes | None:
        """``:class-name``, ``:codec`` and ``:version``; of a request also what ``attribute_of`` knows."""
        if name == b":class-name":
            return self.raw_class_name or None
        if name == b":codec":
            return str(self.codec).encode()
        if name == b":version":
            return str(self.version).encode()
        if self.type == RESPONSE_TYPE:
            return None
        hessian = self.codec == HESSIAN and self.raw_class_name == SOFA_REQUEST
        return attribute_of(message, (self.beginning or message.body) if hessian else b"", name)

    def _fixed(self) -> int:
        """The length of the fixed part."""
        return (20 if self.layout == V1 else 22) + (0 if self.type == RESPONSE_TYPE else 2)


def head_of(
    layout: int,
    type: int,
    command: int,
    id: int,
    codec: int,
    extra: int,
    class_name: bytes = b"",
    block: bytes = b"",
    content_length: int = 0,
    *,
    ver1: int = 0,
    switch: int = -1,
    ver2: int = 1,
) -> bytes:
    """A head; ``extra`` is the timeout of a request, the status of a response. Raises LocalProtocolError."""
    if len(class_name) > LONGEST_SHORT or len(block) > LONGEST_SHORT:
        what = "class name" if len(class_name) > LONGEST_SHORT else "header block"
        raise LocalProtocolError(f"a {what} cannot be longer than {LONGEST_SHORT} bytes", status=500)
    if content_length > 0x7FFFFFFF:
        raise LocalProtocolError(f"cannot send {content_length} bytes of content in a frame", status=500)
    lengths = len(class_name), len(block), content_length
    if layout == V1:
        fixed = V1_RESPONSE if type == RESPONSE_TYPE else V1_REQUEST
        return fixed.pack(1, type, command, ver2, id, codec, extra, *lengths) + class_name + block
    checked = layout == V2_CRC
    ver1 = 2 if checked else ver1 or 1
    switch = int(checked) if switch < 0 else (switch | 1 if checked else switch)
    fixed = V2_RESPONSE if type == RESPONSE_TYPE else V2_REQUEST
    return fixed.pack(2, ver1, type, command, ver2, id, codec, switch, extra, *lengths) + class_name + block


def rebuilt(frame: BoltFrame, layout: int, block: bytes, content_length: int, status: int = -1) -> BoltFrame:
    """The frame in another layout, with other headers, another length or status; all else as it came."""
    type = frame.type
    extra = frame.timeout_ms if type != RESPONSE_TYPE else frame.status if status < 0 else status
    same = frame.layout > V1 and layout == frame.layout
    head = head_of(
        layout,
        type,
        frame.command,
        frame.id,
        frame.codec,
        extra,
        frame.raw_class_name,
        block,
        content_length,
        ver1=frame.ver1 if same else 0,
        switch=frame.switch if same else -1,
        ver2=frame.ver2,
    )
    return BoltFrame(head, layout, content_length, frame.block)


def with_id(head: bytes, layout: int, id: int) -> bytes:
    """The head under another id."""
    if layout == V1:
        return b"".join((head[:5], id.to_bytes(4, "big"), head[9:]))
    return b"".join((head[:6], id.to_bytes(4, "big"), head[10:]))


def whole(head: bytes, layout: int, id: int, content: bytes) -> bytes:
    """A whole frame under ``id``, with its checksum where the layout has one."""
    if layout == V1:
        return b"".join((head[:5], id.to_bytes(4, "big"), head[9:], content))
    head = b"".join((head[:6], id.to_bytes(4, "big"), head[10:]))
    return checked(head, content) if layout == V2_CRC else head + content


def checked(head: bytes, content: bytes) -> bytes:
    """A frame with its checksum behind it."""
    return b"".join((head, content, crc32(content, crc32(head)).to_bytes(4, "big")))
