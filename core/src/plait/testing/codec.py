"""What every codec must keep to, whatever its protocol: the cuts between reads mean nothing, and no bytes raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plait.api import message
from plait.api.errors import ProtocolError
from plait.api.message import (
    Data,
    Event,
    Fault,
    GoAway,
    Interim,
    Message,
    Ping,
    Request,
    Reset,
    Response,
    Switch,
    Trailers,
)
from plait.api.protocol import ClientCodec, ServerCodec

Told = tuple[object, ...]
"""An event as a tuple that compares, without what depends on how the bytes were cut."""


def events(codec: ServerCodec | ClientCodec, pieces: Iterable[bytes], *, eof: bool = False) -> list[Told]:
    """What the codec tells of these reads: heads, then ``("body", id, bytes)`` in one piece, ``("end", id)`` and so on.

    AssertionError when an event follows a fault of the whole connection.
    """
    told: list[Told] = []
    for piece in pieces:
        _add(told, codec.feed(piece))
    if eof:
        _add(told, codec.eof())
    return told


def check_codec(
    make: Callable[[], ServerCodec | ClientCodec], data: bytes, expected: Sequence[Told] | None = None
) -> None:
    """Feed ``data`` to fresh codecs in every way: whole, cut at each offset, byte by byte, cut short, and spoilt.

    ``make`` gives a codec that is ready for ``data``: a client's has encoded the requests that are answered.
    ``expected`` is what ``events`` tells of the whole. AssertionError says which way went wrong.
    """
    whole = events(make(), [data])
    if expected is not None and whole != list(expected):
        raise AssertionError(f"fed whole, the codec tells {whole}, expected {list(expected)}")
    for offset in range(1, len(data)):
        cut = events(make(), [data[:offset], data[offset:]])
        if cut != whole:
            raise AssertionError(f"cut at offset {offset}, the codec tells {cut}, expected {whole}")
    single = events(make(), [data[index : index + 1] for index in range(len(data))])
    if single != whole:
        raise AssertionError(f"fed byte by byte, the codec tells {single}, expected {whole}")
    for offset in range(len(data)):
        _must_not_raise(make, data[:offset], f"cut short at offset {offset}")
        for spoilt in (data[offset] ^ 0x80, 0x00, 0xFF):
            changed = data[:offset] + bytes([spoilt]) + data[offset + 1 :]
            _must_not_raise(make, changed, f"with byte {spoilt:#04x} at offset {offset}")


def _must_not_raise(make: Callable[[], ServerCodec | ClientCodec], data: bytes, how: str) -> None:
    try:
        events(make(), [data], eof=True)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{how}, the codec raised {error!r}, expected a Fault event") from error


def _add(told: list[Told], given: Sequence[Event]) -> None:
    for event in given:
        if told and told[-1][:2] == ("fault", 0) and not told[-1][-1]:  # 0 is an id in some protocols
            raise AssertionError(f"{event!r} follows a fault of the whole connection")
        if isinstance(event, Switch):
            told.append(("switch", event.id, event.protocol, event.settings, event.answer))
            event = event.request
        if isinstance(event, Message):
            told.append(_head(event))
            if event.end:
                _add_body(told, event.id, event.body)
                if event.trailers is not None:
                    told.append(("trailers", event.id, tuple(event.trailers.raw)))
                told.append(("end", event.id))
        elif isinstance(event, Data):
            _add_body(told, event.id, event.data)
            if event.end:
                told.append(("end", event.id))
        elif isinstance(event, Trailers):
            told += [("trailers", event.id, tuple(event.headers.raw)), ("end", event.id)]
        else:
            told.append(_small(event))


def _add_body(told: list[Told], id: int, data: bytes) -> None:
    if not data:
        return
    last = told[-1] if told else ()
    if last[:2] == ("body", id) and isinstance(last[2], bytes):
        told[-1] = ("body", id, last[2] + data)
    else:
        told.append(("body", id, data))


def _head(event: Message) -> Told:
    fields = tuple(event.headers.raw)
    if isinstance(event, Request):
        return (
            *("request", event.id, event.raw_method, event.raw_path, event.raw_authority, fields),
            *(event.oneway, event.timeout_s, event.upgrade),
        )
    if isinstance(event, Response):
        return ("response", event.id, event.status, event.code, event.reason, fields)
    raise AssertionError(f"{event!r} is neither a request nor a response")


def _small(event: Event) -> Told:
    if isinstance(event, Fault):
        if not isinstance(event.error, ProtocolError):
            raise AssertionError(f"a fault carries {event.error!r}, expected a ProtocolError")
        return ("fault", event.id, event.error.status, event.error.counter, event.error.survives)
    if isinstance(event, Interim):
        return ("interim", event.id, event.status, tuple(event.headers.raw))
    if isinstance(event, Reset):
        return ("reset", event.id, event.reason, event.refused)
    if isinstance(event, Ping):
        return ("ping", event.id, event.ack)
    if isinstance(event, GoAway):
        return ("goaway", event.last_id, event.reason)
    if event.kind == message.WINDOW:
        return ("window", event.id)
    raise AssertionError(f"{event!r} is no event of plait.api")
