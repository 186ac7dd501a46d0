"""The options of both codecs, and the sniffer: what is said about Bolt without reading a frame."""

from __future__ import annotations

import attrs

from plait.api import Sniff


def _known_version(instance: object, attribute: object, value: int) -> None:
    if value not in (0, 1, 2):
        raise ValueError(f"version is {value}, expected 1, 2, or 0 for frames as they come")


def _positive(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value <= 0:
        raise ValueError(f"{attribute.name} is {value}, expected a positive number")


def _not_negative(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} is {value}, expected seconds, or 0 for none")


@attrs.frozen
class BoltOptions:
    """What a listener's or a cluster's Bolt may do.

    ``max_frame_bytes`` bounds a whole frame in either direction, and what waits behind a frame that is written in
    pieces. Contents longer than ``stream_threshold_bytes`` are handed on in pieces instead of being gathered. A cluster
    with ``version`` 1 or 2 gets every request in that version (``crc`` adds checksums to what is turned into v2); the
    caller is always answered in its own. ``enable_bolt_goaway`` (MOSN's word) lets a listener that drains say so to
    callers: released sofa-bolt closes the connection on a command that it does not know, so it is off.

    A cluster's connection that has been silent for ``heartbeat_s`` seconds is sent a heartbeat, and closed when it
    stays silent for ``heartbeat_timeout_s`` after that; 0 sends none. sofa-bolt's clients ask after 15 seconds, too.
    """

    max_frame_bytes: int = attrs.field(default=64 << 20, validator=_positive)
    stream_threshold_bytes: int = attrs.field(default=1 << 20, validator=_positive)
    version: int = attrs.field(default=0, validator=_known_version)
    crc: bool = False
    enable_bolt_goaway: bool = False
    heartbeat_s: float = attrs.field(default=15.0, validator=_not_negative)
    heartbeat_timeout_s: float = attrs.field(default=15.0, validator=_not_negative)


_KINDS = tuple(bytes((type, 0, command)) for type in (1, 2) for command in (0, 1, 100))


def sniff(prefix: bytes) -> Sniff:
    """Whether a connection begins with a Bolt request: protocol, version, type and command."""
    if not prefix:
        return Sniff.MORE
    if prefix[0] == 1:
        kind = prefix[1:4]
    elif prefix[0] == 2:
        if len(prefix) > 1 and prefix[1] not in (1, 2):
            return Sniff.NO
        kind = prefix[2:5]
    else:
        return Sniff.NO
    if len(kind) == 3:
        return Sniff.YES if kind in _KINDS else Sniff.NO
    return Sniff.MORE if any(known.startswith(kind) for known in _KINDS) else Sniff.NO
