"""The states of a stream (RFC 9113, 5.1) as tables, and what a connection knows of each stream.

::

    IDLE ──HEADERS──► OPEN ──END_STREAM sent──► HALF_LOCAL ──END_STREAM received──► CLOSED
                       └─END_STREAM received──► HALF_REMOTE ──END_STREAM sent─────► CLOSED
                       └─RST_STREAM, from any of these ─► RESET (ours) or CUT (the peer's)

There are no reserved states: nobody may push to us, and we push to nobody.
"""

from __future__ import annotations

from collections import deque

from plait.api import Request, Response
from plait_protocol_http2 import frames
from plait_protocol_http2.errors import PROTOCOL_ERROR, STREAM_CLOSED

IDLE = 0
OPEN = 1
HALF_LOCAL = 2
HALF_REMOTE = 3
CLOSED = 4
RESET = 5
CUT = 6
SKIPPED = 7
"""An id below one that was used: closed without ever having been open (5.1.1). Also what is closed for long."""

# What happens to a stream, and the state it is in then; -1 where that cannot happen.
SENT_END = 0
GOT_END = 1

NEXT = (
    (-1, -1),
    (HALF_LOCAL, HALF_REMOTE),
    (-1, CLOSED),
    (CLOSED, -1),
    (-1, -1),
    (-1, -1),
    (-1, -1),
    (-1, -1),
)

# What a frame is in the state of its stream: nothing to care about, or an error with this code: of the stream if
# positive, of the connection if negative. What is not named is as it should be.
IGNORED = 1000
_CONNECTION_PROTOCOL = -PROTOCOL_ERROR
_CONNECTION_CLOSED = -STREAM_CLOSED
_Row = dict[int, int]

VERDICTS: tuple[_Row, ...] = (
    # IDLE: only HEADERS opens it, and only the side whose ids these are
    {
        frames.DATA: _CONNECTION_PROTOCOL,
        frames.HEADERS: _CONNECTION_PROTOCOL,
        frames.RST_STREAM: _CONNECTION_PROTOCOL,
        frames.WINDOW_UPDATE: _CONNECTION_PROTOCOL,
    },
    # OPEN
    {},
    # HALF_LOCAL
    {},
    # HALF_REMOTE: the peer said that it was done
    {frames.DATA: STREAM_CLOSED, frames.HEADERS: STREAM_CLOSED},
    # CLOSED: nothing can still be on its way but what answers our last frames
    {
        frames.DATA: _CONNECTION_CLOSED,
        frames.HEADERS: _CONNECTION_CLOSED,
        frames.RST_STREAM: IGNORED,
        frames.WINDOW_UPDATE: IGNORED,
    },
    # RESET: whatever was sent before the peer knew
    {
        frames.DATA: IGNORED,
        frames.HEADERS: IGNORED,
        frames.RST_STREAM: IGNORED,
        frames.WINDOW_UPDATE: IGNORED,
    },
    # CUT: the peer itself ended it
    {
        frames.DATA: STREAM_CLOSED,
        frames.HEADERS: STREAM_CLOSED,
        frames.RST_STREAM: IGNORED,
        frames.WINDOW_UPDATE: IGNORED,
    },
    # SKIPPED
    {
        frames.DATA: STREAM_CLOSED,
        frames.HEADERS: _CONNECTION_PROTOCOL,
        frames.RST_STREAM: IGNORED,
        frames.WINDOW_UPDATE: IGNORED,
    },
)


class Held:
    """What the windows hold back of a message: data, then perhaps trailers, then the end."""

    __slots__ = ("_at", "_pieces", "end", "size", "tail")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._at: int = 0  # where the first of them goes on
        self.size: int = 0
        self.end: bool = False
        self.tail: bytes = b""  # trailers, as frames

    def add(self, data: bytes) -> None:
        """Keep data."""
        if data:
            self._pieces.append(data)
            self.size += len(data)

    def take(self, size: int) -> bytes:
        """The first ``size`` bytes, which are there."""
        self.size -= size
        pieces, at = self._pieces, self._at
        parts: list[bytes] = []
        while size:
            piece = pieces[0]
            left = len(piece) - at
            if size < left:
                parts.append(piece[at : at + size])
                at += size
                break
            parts.append(piece[at:] if at else piece)
            pieces.popleft()
            size -= left
            at = 0
        self._at = at
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Tunnel:
    """What comes early for a tunnel that was asked for, and the key of a WebSocket."""

    __slots__ = ("accepted", "early", "end", "key", "size")

    def __init__(self, key: bytes = b"") -> None:
        self.accepted: bool = False
        self.early: list[bytes] = []
        self.size: int = 0  # on the wire, not yet given back to the peer's windows
        self.end: bool = False
        self.key: bytes = key


class Stream:
    """One stream under way. What few streams need is in objects of its own: making one must be cheap."""

    __slots__ = (
        "answered",
        "event",
        "held",
        "id",
        "kind",
        "left",
        "paused",
        "pieces",
        "received",
        "refused",
        "send_window",
        "state",
        "tunnel",
        "unsent",
        "window",
        "withheld",
    )

    def __init__(self, id: int, kind: int, send_window: int, window: int) -> None:
        self.id: int = id
        self.state: int = OPEN
        self.kind: int = kind  # what the request asks of the response: see ``head``
        self.tunnel: Tunnel | None = None
        self.answered: bool = False  # the response's head is there
        self.refused: bool = False  # nobody reads the rest of the request
        # reading: the peer's window, and what of it is used and not given back
        self.window: int = window
        self.received: int = 0
        self.withheld: int = 0  # of the connection's window, while paused
        self.paused: bool = False
        self.left: int = -1  # of the declared length; -1 without one
        self.event: Request | Response | None = None  # a head of this read, which the body may join
        self.pieces: list[bytes] | None = None  # data of this read
        # writing: our window, and what it holds back
        self.send_window: int = send_window
        self.held: Held | None = None
        self.unsent: int = -1  # of the declared length; -1 without one

    def body(self) -> bytes:
        """The data of this read."""
        pieces = self.pieces
        if pieces is None:
            return b""
        self.pieces = None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Gone:
    """How the streams ended that are not under way any more: the last thousand or two of them."""

    __slots__ = ("_older", "_recent")
    _LIMIT = 1024

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}

    def add(self, id: int, state: int) -> None:
        """Stream ``id`` is over."""
        recent = self._recent
        recent[id] = state
        if len(recent) >= self._LIMIT:
            self._older = recent
            self._recent = {}

    def state(self, id: int) -> int:
        """CLOSED, RESET or CUT; SKIPPED for any other."""
        return self._recent.get(id) or self._older.get(id) or SKIPPED
