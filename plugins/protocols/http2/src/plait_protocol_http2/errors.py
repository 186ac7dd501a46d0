"""Error codes (RFC 9113, 7) and the exception that carries them to where a broken rule is answered."""

from __future__ import annotations

from plait.api import RemoteProtocolError

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
CONNECT_ERROR = 0xA
ENHANCE_YOUR_CALM = 0xB

NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

# What the counter of a violation is called where the place that finds it has no better word (Envoy's) for it.
_WORDS = {
    PROTOCOL_ERROR: "protocol_error",
    FLOW_CONTROL_ERROR: "flow_control_error",
    STREAM_CLOSED: "stream_closed",
    FRAME_SIZE_ERROR: "frame_size_error",
    REFUSED_STREAM: "stream_refused_errors",
    COMPRESSION_ERROR: "compression_error",
    ENHANCE_YOUR_CALM: "flood",
}


def name_of(code: int) -> str:
    """The name of an error code, also of one that nobody has defined."""
    return NAMES[code] if code < len(NAMES) else f"error {code:#x}"


class Violation(RemoteProtocolError):
    """A rule that the peer broke. ``code`` goes into GOAWAY, or into RST_STREAM when only a stream is hurt.

    ``status`` is 0 where nothing can be answered, because the frame says it all or there is no request.
    """

    def __init__(self, code: int, what: str, word: str = "", *, status: int = 0, survives: bool = False) -> None:
        self.code = code
        super().__init__(what, status=status, counter="http2." + (word or _WORDS[code]), survives=survives)


def malformed(what: str) -> Violation:
    """The error for a message that is none (RFC 9113, 8.1.1); it costs its own stream only."""
    return Violation(PROTOCOL_ERROR, what, "rx_messaging_error", status=400, survives=True)
