"""The options of both codecs, and the sniffer."""

from __future__ import annotations

import attrs

from plait.api import Sniff


@attrs.frozen
class DubboOptions:
    """Limits of a connection.

    A frame of more than ``max_frame_bytes`` ends the connection. A body of up to ``max_buffered_bytes`` is read whole;
    a larger one passes in pieces, and its attachments, which are at its end, are not known. ``max_queued_bytes`` bounds
    what waits while a frame is written in pieces. A frame whose rest never comes is filled up to keep the connection,
    with at most ``max_padding_bytes``.

    A cluster's connection that has been silent for ``heartbeat_s`` seconds is sent a heartbeat, and closed when it
    stays silent for ``heartbeat_timeout_s`` after that; 0 sends none. Dubbo's own clients ask after 60 seconds, too.
    """

    max_frame_bytes: int = 1 << 28
    max_buffered_bytes: int = 1 << 20
    max_queued_bytes: int = 1 << 23
    max_padding_bytes: int = 1 << 23
    heartbeat_s: float = 60.0
    heartbeat_timeout_s: float = 60.0


def sniff(prefix: bytes) -> Sniff:
    """Whether a connection begins with a Dubbo request (or an event, which is one too)."""
    if not b"\xda\xbb".startswith(prefix[:2]):
        return Sniff.NO
    if len(prefix) < 3:
        return Sniff.MORE
    return Sniff.YES if prefix[2] & 0x80 else Sniff.NO
