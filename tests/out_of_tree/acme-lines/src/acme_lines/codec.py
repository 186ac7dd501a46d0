"""The two codecs of acme-lines; a line ends with LF and has at most 8192 bytes.

::

    request   service SP method *(SP name "=" value) [SP ":" text] LF      kettle boil cups=2 :slowly, please
    answer    "+" text LF                                                  +done
              "-" status SP text LF                                        -404 no such service

There are no ids: answers come in the order of the requests, one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from plait import (
    ClientCodec,
    Event,
    Fault,
    Headers,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    ServerCodec,
)

LONGEST = 8192


class LineBuffer:
    """Takes lines out of what was read; each byte is looked at once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def split(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes; raises RemoteProtocolError for one that is too long."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces, self._size = [], 0
        self._size += len(rest)
        if rest:
            self._pieces.append(rest)
        if self._size > LONGEST or any(len(line) > LONGEST for line in lines):
            raise RemoteProtocolError(f"line is longer than {LONGEST} bytes", status=431, counter="line_too_long")
        return lines

    def __bool__(self) -> bool:
        return bool(self._pieces)


class LinesServer(ServerCodec):
    """Reads requests; those behind the one in progress are held until it is answered."""

    def __init__(self, options: object = None) -> None:
        super().__init__()
        self._buffer = LineBuffer()
        self._waiting: list[bytes] = []
        self._id = 0
        self._busy = False
        self._broken: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> Sequence[Event]:
        if data and self._broken is None and not self.closing:
            try:
                self._waiting += self._buffer.split(data)
            except RemoteProtocolError as error:
                self._broken = error
        events: list[Event] = []
        if not self._busy:
            if self._waiting:
                events.append(self._request(self._waiting.pop(0)))
            elif self._broken is not None and not self.closing:
                self.closing = True
                events.append(Fault(self._broken))
        self.held = self._busy and (bool(self._waiting) or self._broken is not None)
        return events

    def _request(self, line: bytes) -> Event:
        head, _, text = line.partition(b" :")
        service, *words = head.split(b" ")
        fields = [word.partition(b"=") for word in words[1:]]
        if not service or not words or any(not equals for _, equals, _ in fields):
            self.closing = True
            return Fault(RemoteProtocolError("expected: service method name=value :text", counter="bad_line"))
        self._id += 1
        self._busy = True
        request = Request(Headers([(name.lower(), value) for name, _, value in fields]), self._id)
        request.protocol = "acme-lines"
        request.raw_authority, request.raw_path, request.body = service, words[0], text
        request.raw = line
        return request

    def eof(self) -> Sequence[Event]:
        if self._buffer and not self._busy and not self.closing:
            self.closing = True
            return [Fault(RemoteProtocolError("connection closed inside a line", counter="bad_line"))]
        return ()

    def encode_response(self, request: Request, response: Response) -> bytes:
        text = response.body.replace(b"\n", b" ")
        start = b"+" if response.status == 200 else b"-%d " % response.status
        if not response.end:
            return start + text
        self._busy = False
        return start + text + b"\n"

    def encode_data(self, request: Request, data: bytes, end: bool) -> bytes:
        self._busy = not end
        return data.replace(b"\n", b" ") + (b"\n" if end else b"")


class LinesClient(ClientCodec):
    """Writes requests; a line that nobody asked for breaks the connection."""

    def __init__(self, options: object = None) -> None:
        super().__init__()
        self._buffer = LineBuffer()
        self._id = 0
        self._unsent: list[bytes] = []
        self._asked = False

    def next_id(self) -> int:
        self._id += 1
        return self._id

    def encode_request(self, request: Request, id: int) -> bytes:
        self._asked = True
        if request.raw is not None and not request.headers.changed:
            return request.raw + b"\n"
        words = [request.raw_authority, request.raw_path, *(b"%b=%b" % field for field in request.headers.raw)]
        line = b" ".join(words) + (b" :" + request.body if request.body or not request.end else b"")
        if b"\n" in line:
            raise LocalProtocolError("a line of acme-lines cannot hold a line feed", status=500)
        return line + (b"\n" if request.end else b"")

    def encode_data(self, id: int, data: bytes, end: bool) -> bytes:
        return data.replace(b"\n", b" ") + (b"\n" if end else b"")

    def feed(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        try:
            events.extend(map(self._answer, self._buffer.split(data)))  # those ahead of a bad one are kept
        except (RemoteProtocolError, ValueError) as error:
            self.reusable = False
            wrong = error if isinstance(error, RemoteProtocolError) else RemoteProtocolError(f"bad answer: {error}")
            events.append(Fault(wrong))
        return events

    def _answer(self, line: bytes) -> Response:
        if not self._asked:
            raise RemoteProtocolError("an answer that nobody asked for")
        sign, rest = line[:1], line[1:]
        status = 200
        if sign == b"-":
            code, _, rest = rest.partition(b" ")
            status = int(code)
        if sign not in (b"+", b"-") or not 100 <= status <= 599:
            raise RemoteProtocolError("an answer begins with + or with - and a status")
        self._asked = False
        response = Response(status, Headers([]), self._id)
        response.protocol, response.body = "acme-lines", rest
        return response


def local_response(request: Request, status: int, body: bytes, details: str) -> Response:
    """An answer of Plait's own; without a text, it says the details."""
    response = Response(status, Headers([]), request.id)
    response.protocol = "acme-lines"
    response.body = body or details.encode()
    return response
