"""Bolt and Dubbo as both ends of a test speak them, frame by frame and without the codecs under test.

``Wire`` has what the tests of both protocols ask for: calls, answers, events, the codes of errors. ``RpcMesh`` is the
data plane with a listener of generic_proxy that speaks one of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from struct import Struct
from typing import Any, ClassVar

import attrs

from plait import Extension
from plait.api.config import Listener
from plait_protocol_hessian import Decoder, Dialect, HessianError, loads
from tests.integration.framed_rpc import GENERIC, typed
from tests.integration.harness import LISTENER, Json, Mesh, Peer

CALL = "call"
ONEWAY = "one-way"
ANSWER = "answer"
PING = "ping"
PONG = "pong"
GOING = "going"

CODECS = "plait.generic_proxy.codecs."
CONTENTS = "x.Contents"


@attrs.frozen
class Frame:
    """A frame as it came; ``said`` are the bytes that the call or the answer carries, ``text`` those of an error."""

    kind: str
    id: int
    raw: bytes
    status: int = 0
    said: bytes = b""
    text: bytes = b""
    fields: Mapping[str, str] = attrs.field(factory=dict)
    service: str = ""
    method: str = ""


class Wire(ABC):
    """One of the protocols."""

    name: str
    errors: ClassVar[Mapping[str, int]]
    """The protocol's own status for what Plait answers."""

    @abstractmethod
    def call(
        self,
        id: int,
        said: bytes = b"",
        *,
        service: str = "shop.Cart",
        method: str = "get",
        fields: Mapping[str, str] | None = None,
        oneway: bool = False,
        timeout_ms: int = 0,
    ) -> bytes:
        """A call that carries ``said``."""

    @abstractmethod
    def answer(self, id: int, said: bytes = b"", status: int | None = None) -> bytes:
        """A response; a good one unless ``status`` is another."""

    @abstractmethod
    def ping(self, id: int) -> bytes:
        """A heartbeat."""

    @abstractmethod
    def pong(self, id: int) -> bytes:
        """Its acknowledgement."""

    @abstractmethod
    def going(self) -> bytes:
        """What a server says that wants no more calls."""

    @abstractmethod
    async def read(self, peer: Peer) -> Frame:
        """The next frame."""

    @abstractmethod
    def broken_call(self, id: int) -> bytes:
        """A frame of the right length whose inside is wrong."""

    @abstractmethod
    def too_long(self, id: int) -> bytes:
        """The beginning of a call that says it is longer than any may be."""


_INT = Struct(">I")
_V1_CALL = Struct(">BBHBIBiHHI")
_V1_ANSWER = Struct(">BBHBIBHHHI")


class Bolt(Wire):
    """Bolt v1 with a serialization of the peers' own (number 20), so that a content is what was said."""

    name = "bolt"
    errors: ClassVar = {"not found": 6, "timeout": 7, "gone": 0x10, "busy": 4, "refused": 2, "bad": 9, "broken": 5}
    codec = 20

    def call(
        self,
        id: int,
        said: bytes = b"",
        *,
        service: str = "shop.Cart",
        method: str = "get",
        fields: Mapping[str, str] | None = None,
        oneway: bool = False,
        timeout_ms: int = 0,
    ) -> bytes:
        named = {"service": service, "sofa_head_method_name": method, **(fields or {})}
        block = b"".join(self._text(text) for pair in named.items() for text in pair)
        lengths = len(CONTENTS), len(block), len(said)
        head = _V1_CALL.pack(1, 2 if oneway else 1, 1, 1, id, self.codec, timeout_ms, *lengths)
        return b"".join((head, CONTENTS.encode(), block, said))

    def _text(self, text: str) -> bytes:
        encoded = text.encode()
        return _INT.pack(len(encoded)) + encoded

    def answer(self, id: int, said: bytes = b"", status: int | None = None) -> bytes:
        lengths = len(CONTENTS), 0, len(said)
        return b"".join((_V1_ANSWER.pack(1, 0, 2, 1, id, self.codec, status or 0, *lengths), CONTENTS.encode(), said))

    def ping(self, id: int) -> bytes:
        return _V1_CALL.pack(1, 1, 0, 1, id, 1, -1, 0, 0, 0)

    def pong(self, id: int) -> bytes:
        return _V1_ANSWER.pack(1, 0, 0, 1, id, 1, 0, 0, 0, 0)

    def going(self) -> bytes:
        return _V1_CALL.pack(1, 1, 100, 1, 0, 1, 0, 0, 0, 0)

    async def read(self, peer: Peer) -> Frame:
        start = await peer.exactly(2)
        answers = start[1] == 0
        fixed = _V1_ANSWER if answers else _V1_CALL
        head = start + await peer.exactly(fixed.size - 2)
        _, type, command, _, id, _, extra, class_length, block_length, length = fixed.unpack(head)
        class_name = await peer.exactly(class_length)
        block = await peer.exactly(block_length)
        content = await peer.exactly(length)
        raw = b"".join((head, class_name, block, content))
        if command == 0:
            return Frame(PONG if answers else PING, id, raw, extra if answers else 0)
        if command == 100:
            return Frame(GOING, id, raw)
        if answers:
            said = content if class_name == CONTENTS.encode() else b""
            return Frame(ANSWER, id, raw, extra, said, b"" if said else content)
        texts, at = [], 0
        while at < len(block):
            (size,) = _INT.unpack_from(block, at)
            texts.append(block[at + 4 : at + 4 + size].decode())
            at += 4 + size
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        service, method = fields.pop("service"), fields.pop("sofa_head_method_name")
        return Frame(CALL if type == 1 else ONEWAY, id, raw, 0, content, b"", fields, service, method)

    def broken_call(self, id: int) -> bytes:
        whole = self.call(id)
        return whole.replace(_INT.pack(7) + b"service", _INT.pack(0x7777) + b"service")

    def too_long(self, id: int) -> bytes:
        return _V1_CALL.pack(1, 1, 1, 1, id, self.codec, 0, 0, 0, 0x7FFFFFFF)


_HEAD = Struct(">HBBqI")


class Dubbo(Wire):
    """Dubbo with Hessian; what is said is the one argument, or the value, as binary data."""

    name = "dubbo"
    errors: ClassVar = {"not found": 60, "timeout": 31, "gone": 80, "busy": 80, "refused": 20, "bad": 40, "broken": 50}

    def call(
        self,
        id: int,
        said: bytes = b"",
        *,
        service: str = "shop.Cart",
        method: str = "get",
        fields: Mapping[str, str] | None = None,
        oneway: bool = False,
        timeout_ms: int = 0,
    ) -> bytes:
        attachments = dict(fields or {})
        if timeout_ms:
            attachments["timeout"] = str(timeout_ms)
        strings = b"".join(self._text(text) for text in ("2.0.2", service, "1.0.0", method, "[B"))
        entries = b"".join(self._text(text) for pair in attachments.items() for text in pair)
        body = b"".join((strings, self._binary(said), b"H", entries, b"Z"))
        return self.frame(0x82 if oneway else 0xC2, 0, id, body)

    def frame(self, flags: int, status: int, id: int, body: bytes) -> bytes:
        """Any frame."""
        return _HEAD.pack(0xDABB, flags, status, id, len(body)) + body

    def _text(self, text: str) -> bytes:
        encoded = text.encode()
        assert len(text) < 1024
        return (bytes([len(text)]) if len(text) < 32 else (0x3000 + len(text)).to_bytes(2, "big")) + encoded

    def _binary(self, data: bytes) -> bytes:
        pieces = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)] or [b""]
        last = pieces.pop()
        ahead = b"".join(b"A\xff\xff" + piece for piece in pieces)
        return b"".join((ahead, b"B", len(last).to_bytes(2, "big"), last))

    def answer(self, id: int, said: bytes = b"", status: int | None = None) -> bytes:
        if status is None:
            return self.frame(0x02, 20, id, b"\x91" + self._binary(said))
        return self.frame(0x02, status, id, self._text(said.decode()))

    def ping(self, id: int) -> bytes:
        return self.frame(0xE2, 0, id, b"N")

    def pong(self, id: int) -> bytes:
        return self.frame(0x22, 20, id, b"N")

    def going(self) -> bytes:
        return self.frame(0xA2, 0, 0, b"\x01R")

    async def read(self, peer: Peer) -> Frame:
        head = await peer.exactly(16)
        magic, flags, status, id, length = _HEAD.unpack(head)
        assert magic == 0xDABB, head
        body = await peer.exactly(length)
        raw = head + body
        if flags & 0x20:
            if body == b"\x01R":
                return Frame(GOING, id, raw)
            return Frame(PING if flags & 0x80 else PONG, id, raw, status)
        if flags & 0x80:
            decoder = Decoder(body, dialect=Dialect.HESSIAN2)
            _, service, _, method, _, said, fields = (decoder.read() for _ in range(7))
            assert isinstance(said, bytes)
            assert isinstance(fields, dict)
            way = CALL if flags & 0x40 else ONEWAY
            return Frame(way, id, raw, 0, said, b"", fields, str(service), str(method))
        if status != 20:
            (text,) = loads(body, Dialect.HESSIAN2)
            return Frame(ANSWER, id, raw, status, text=str(text).encode())
        kind, value, *_ = [*loads(body, Dialect.HESSIAN2), None]
        if kind in (0, 3):
            return Frame(ANSWER, id, raw, status, text=body)
        assert value is None or isinstance(value, bytes | str)
        return Frame(ANSWER, id, raw, status, value.encode() if isinstance(value, str) else value or b"")

    def broken_call(self, id: int) -> bytes:
        return self.frame(0xC2, 0, id, b"\xff" * 40)

    def too_long(self, id: int) -> bytes:
        return _HEAD.pack(0xDABB, 0xC2, 0, id, 0x7FFFFFFF)


WIRES: list[Wire] = [Bolt(), Dubbo()]


# what both ends do


async def replies(wire: Wire, peer: Peer, count: int) -> dict[int, Frame]:
    """The answers to that many calls, by their ids; heartbeats and the like are passed over."""
    found: dict[int, Frame] = {}
    while len(found) < count:
        frame = await wire.read(peer)
        if frame.kind == ANSWER:
            assert frame.id not in found, f"{frame.id} is answered twice"
            found[frame.id] = frame
    return found


def serving(wire: Wire, say: Callable[[Frame], bytes | None], seen: list[Frame] | None = None) -> Any:
    """A server that answers each call with what ``say`` makes of it: nothing at None, nor to what it cannot read."""

    async def handler(peer: Peer, number: int) -> None:
        while True:
            try:
                frame = await wire.read(peer)
            except HessianError:
                continue  # such as a call that was filled up; its caller is told by Plait
            if seen is not None:
                seen.append(frame)
            if frame.kind == PING:
                await peer.send(wire.pong(frame.id))
            elif frame.kind == CALL:
                said = say(frame)
                if said is not None:
                    await peer.send(wire.answer(frame.id, said))

    return handler


def scripted(wire: Wire, script: Callable[[Peer, int], Awaitable[None]]) -> Any:
    """A server that does what ``script`` says on each connection, which then stays until the other side closes it."""

    async def handler(peer: Peer, number: int) -> None:
        await script(peer, number)
        await peer.rest()

    return handler


# the data plane


def options(wire: Wire, values: Json) -> Json:
    """A cluster's ``typed_extension_protocol_options``."""
    config = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": CODECS + wire.name, "value": values}
    return {"typed_extension_protocol_options": {CODECS + wire.name: config}}


def generic(
    wire: Wire, routes: Json, clusters: Sequence[Json], filters: Sequence[Json] = (), codec: Json | None = None
) -> Json:
    """A bootstrap whose listener speaks the protocol; ``routes`` is a matcher, ``codec`` are the codec's options."""
    value = {"type_url": CODECS + wire.name, "value": codec or {}}
    proxy = {
        "@type": GENERIC + "v3.GenericProxy",
        "stat_prefix": "test",
        "codec_config": {
            "name": wire.name,
            "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", **value},
        },
        "route_config": {"name": "calls", "routes": routes},
        "filters": [*filters, typed("router.v3.Router")],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    chain = {"filters": [{"name": "rpc", "typed_config": proxy}]}
    listener = {"name": LISTENER, "address": address, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}


def everything(action: Json) -> Json:
    """Routes that send every call the same way."""
    return {"on_no_match": action}


def route_action(cluster: str, **fields: Any) -> Json:
    """HTTP's RouteAction, which has retries, mirrors and the rest."""
    return {"action": typed("envoy.config.route.v3.RouteAction", cluster=cluster, **fields)}


class RpcMesh(Mesh):
    """``Mesh`` for a listener of generic_proxy."""

    stat_prefix = "generic_proxy.test"

    def _watched(self, listener: Listener) -> Listener:
        (chain,) = listener.filter_chains
        (last,) = chain.filters
        proxy: Any = last.settings
        logs = tuple(Extension("log", "test.made_here", one) for one in self.logs)
        ours = tuple(Extension(type(one).__name__, "test.made_here", one) for one in self.filters)
        settings = attrs.evolve(proxy, filters=(*ours, *proxy.filters), access_log=(*logs, *proxy.access_log))
        return attrs.evolve(
            listener, filter_chains=(attrs.evolve(chain, filters=(attrs.evolve(last, settings=settings),)),)
        )
