"""HTTP's edge: the first filter of every connection manager's chain, first on requests and last on responses.

It says who the caller is (x-forwarded-…), gives requests an id, takes away what only trusted callers may say, brings
paths and hosts into one form, refuses upgrades that nobody allowed, and signs responses (server, date, via). What is
hop-by-hop is the codecs' business; what depends on the route is the router's.
"""

from __future__ import annotations

import time
from email.utils import formatdate

from plait import CONTINUE, Extra, ForwardAction, Headers, Request, Stream, StreamFilter, Verdict
from plait.stream import REMOTE_ADDRESS
from plait_protocol_http.callers import Callers
from plait_protocol_http.paths import Moved, Refused, compile_normalization
from plait_protocol_http.request_id import RequestIds
from plait_protocol_http.settings import EdgeSettings

_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDED_PORT = b"x-forwarded-port"
_FORWARDED_PROTO = b"x-forwarded-proto"
_REQUEST_ID = b"x-request-id"
_INTERNAL = b"x-envoy-internal"
_EXTERNAL_ADDRESS = b"x-envoy-external-address"
_CLIENT_CERT = b"x-forwarded-client-cert"
_EXPECT = b"expect"
_FRAGMENT = ord("#")  # a number is looked for much faster than a string of one byte

# What a caller that is not internal may not say: the names of Envoy's conn_manager_utility.
_NOT_FROM_OUTSIDE = (
    b"x-envoy-retriable-status-codes",
    b"x-envoy-retriable-header-names",
    b"x-envoy-retry-on",
    b"x-envoy-retry-grpc-on",
    b"x-envoy-max-retries",
    b"x-envoy-upstream-alt-stat-name",
    b"x-envoy-upstream-rq-timeout-ms",
    b"x-envoy-upstream-rq-per-try-timeout-ms",
    b"x-envoy-upstream-rq-timeout-alt-response",
    b"x-envoy-upstream-stream-duration-ms",
    b"x-envoy-expected-rq-timeout-ms",
    b"x-envoy-force-trace",
    b"x-envoy-ip-tags",
    b"x-envoy-original-url",
    b"x-envoy-hedge-on-per-try-timeout",
)
_NOT_FROM_CLIENTS = (
    b"x-envoy-decorator-operation",
    b"x-envoy-downstream-service-cluster",
    b"x-envoy-downstream-service-node",
    b"x-envoy-original-path",
    b"x-envoy-original-host",
)
_OUTSIDE = frozenset(_NOT_FROM_OUTSIDE)
_NOTABLE = frozenset(
    (
        *_NOT_FROM_OUTSIDE,
        *_NOT_FROM_CLIENTS,
        _FORWARDED_FOR,
        _FORWARDED_PORT,
        _FORWARDED_PROTO,
        _REQUEST_ID,
        _INTERNAL,
        _EXTERNAL_ADDRESS,
        _CLIENT_CERT,
        _EXPECT,
    )
)


_GREETINGS_LIMIT = 4096


class Date:
    """The date header's value, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """``Sun, 06 Nov 1994 08:49:37 GMT``."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text


# The peer's address, our port and the transport protocol.
Caller = tuple[str, int, str]


class Greeting(Extra):
    """What the requests of one caller are given, and the scheme that this says they came by."""

    __slots__ = ("scheme",)

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        super().__init__(fields)
        self.scheme = fields[_FORWARDED_PROTO]


class HttpEdge(StreamFilter):
    """One per connection manager and worker; raises ConfigError for settings that contradict themselves."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._callers = Callers(settings)
        self._remote = settings.use_remote_address
        self._generate = settings.generate_request_id
        self._ids = RequestIds()
        self._stock = self._ids.stock
        self._date = Date()
        self._normalize = compile_normalization(settings)
        self._strips_host = (
            settings.strip_any_host_port or settings.strip_matching_host_port or settings.strip_trailing_host_dot
        )
        self._checks_names = settings.underscores != "allow"
        self._via = settings.via.encode()
        self._server = Extra({b"server": settings.server_name.encode()})
        self._overwrites_server = settings.server_header == "overwrite"
        self._adds_server = settings.server_header == "append_if_absent"
        self._id_in_response = settings.always_set_request_id_in_response
        self._marks = bool(self._via) or self._id_in_response
        self._upgrades = frozenset(settings.upgrades)
        self._plain = not (self._normalize or self._strips_host or self._checks_names or self._via)
        """A request that says nothing about its caller only gets some fields, the same for every one of a caller."""
        self._greetings: dict[Caller, Greeting] = {}

    # the way in

    def on_request(self, stream: Stream) -> Verdict:
        """Shape the request; refuse what may not come in."""
        request = stream.request
        headers = request.headers
        if _FRAGMENT in request.raw_path:  # never sent on the wire (RFC 9110, 7.1): the rest would go around rules
            return stream.reply(400, details="path_normalization_failed")
        if not self._plain or request.upgrade or request.raw_method == b"CONNECT":
            return self._shape(stream, request, headers, _scheme(stream))
        connection = stream.connection
        caller = (connection.peer_ip, connection.local_port, connection.transport_protocol)
        greeting = self._greetings.get(caller) or self._greet(stream, caller)
        known = headers.block.grown.get(greeting)  # only blocks that say nothing of their caller grow here
        if known is not None and not headers.added:
            headers.block = known
            headers.changed = True
        elif headers.has_any(_NOTABLE):
            return self._shape(stream, request, headers, _scheme(stream))
        else:
            headers.extend(greeting)
        request.raw_scheme = greeting.scheme
        if self._generate:
            stock = self._stock
            headers.added[_REQUEST_ID] = stock.pop() if stock else self._ids.next()
        return CONTINUE

    def _greet(self, stream: Stream, caller: Caller) -> Greeting:
        """What a caller's requests are given when they bring nothing of their own, found once and remembered."""
        headers = Headers([])
        self._identify(stream, headers, _scheme(stream))
        headers.delete(_REQUEST_ID)
        if len(self._greetings) >= _GREETINGS_LIMIT:
            self._greetings.clear()
        greeting = self._greetings[caller] = Greeting(headers.added)
        return greeting

    def _shape(self, stream: Stream, request: Request, headers: Headers, scheme: bytes) -> Verdict:
        settings = self._settings
        # names first: a header that is dropped must not be believed below
        if self._checks_names and any(b"_" in name for name, _ in headers.raw):
            if settings.underscores == "reject_request":
                return stream.reply(400, details="http.unexpected_underscore", flag="DPE")
            for name in {name for name, _ in headers.raw if b"_" in name}:
                headers.delete(name)
        # then who it is, because sanitizing depends on it
        self._identify(stream, headers, scheme)
        forwarded_proto = headers.find(_FORWARDED_PROTO)
        request.raw_scheme = forwarded_proto if forwarded_proto in (b"http", b"https") else scheme
        # host and path, before any filter or route looks at them
        if self._strips_host:
            self._strip_host(stream, request)
        if self._normalize is not None:
            verdict = self._normalize_path(stream, request)
            if verdict is not CONTINUE:
                return verdict
        if self._via:
            _append_to(headers, b"via", self._via, b", ")
        # upgrades need the route, which needs the host and the path
        if (request.upgrade or request.raw_method == b"CONNECT") and not self._may_upgrade(stream, request):
            return stream.reply(403, details="upgrade_failed")
        if not settings.proxy_100_continue and headers.find(_EXPECT) is not None:
            self._answer_expectation(stream, request, headers)
        return CONTINUE

    def _identify(self, stream: Stream, headers: Headers, scheme: bytes) -> None:
        settings = self._settings
        connection = stream.connection
        headers.delete(_INTERNAL)
        forwarded = headers.find(_FORWARDED_FOR)
        if forwarded is not None:
            forwarded = b",".join(headers.find_all(_FORWARDED_FOR))
        address = self._callers.address(connection, forwarded)
        if self._remote:
            single = forwarded is None
            if not settings.skip_xff_append and connection.peer_ip:
                _append_to(headers, _FORWARDED_FOR, connection.peer_ip.encode(), b",")
            if not settings.xff_num_trusted_hops or headers.find(_FORWARDED_PROTO) is None:
                headers.put(_FORWARDED_PROTO, scheme)
            if settings.append_x_forwarded_port and headers.find(_FORWARDED_PORT) is None:
                headers.append(_FORWARDED_PORT, str(connection.local_port).encode())
        else:
            single = forwarded is not None and b"," not in forwarded
            if headers.find(_FORWARDED_PROTO) is None:
                headers.append(_FORWARDED_PROTO, scheme)
        if address and address != connection.peer_ip:
            stream.attributes[REMOTE_ADDRESS] = address
        internal = self._callers.internal(connection, address, single)
        from_client = self._remote and not internal
        if internal:
            headers.append(_INTERNAL, b"true")
        elif headers.has_any(_OUTSIDE):
            for name in _NOT_FROM_OUTSIDE:
                headers.delete(name)
        if from_client:
            for name in _NOT_FROM_CLIENTS:
                headers.delete(name)
            trusted = address or connection.peer_ip
            if trusted:
                headers.put(_EXTERNAL_ADDRESS, trusted.encode())
        if not settings.forward_client_cert:
            headers.delete(_CLIENT_CERT)
        if self._generate:
            replace = from_client and not settings.preserve_external_request_id
            if replace or not headers.find(_REQUEST_ID):
                headers.put(_REQUEST_ID, self._ids.next())

    def _strip_host(self, stream: Stream, request: Request) -> None:
        settings = self._settings
        host, colon, port = request.raw_authority.rpartition(b":")
        if not colon or not port.isdigit() or (b":" in host and not host.endswith(b"]")):
            host, port = request.raw_authority, b""
        if port and not settings.strip_any_host_port:
            matching = settings.strip_matching_host_port and int(port[:6]) == stream.connection.local_port
            tunnel = request.raw_method == b"CONNECT"  # its authority is where to connect to: the port is the point
            if not matching or tunnel:
                return
        if settings.strip_trailing_host_dot and host.endswith(b"."):
            host = host[:-1]
        if host != request.raw_authority:
            request.raw_authority = host
            request.headers.changed = True

    def _normalize_path(self, stream: Stream, request: Request) -> Verdict:
        assert self._normalize is not None
        try:
            path = self._normalize(request.raw_path)
        except Refused:
            return stream.reply(400, details="path_normalization_failed")
        except Moved as moved:
            location = moved.args[0].decode("utf-8", "surrogateescape")
            return stream.reply(307, headers={"location": location}, details="path_normalization_failed")
        if path != request.raw_path:
            request.raw_path = path
            request.headers.changed = True
        return CONTINUE

    def _may_upgrade(self, stream: Stream, request: Request) -> bool:
        route = stream.route
        if request.raw_method == b"CONNECT":
            if route is None:
                return True  # as any other request without a route: the router says 404
            kind = "connect"
        else:
            kind = request.upgrade.decode("latin-1").lower()
        if route is not None and isinstance(route.action, ForwardAction):
            allowed = {name.lower(): enabled for name, enabled in route.action.upgrades.items()}
            if kind in allowed:
                return allowed[kind]
        return kind in self._upgrades

    def _answer_expectation(self, stream: Stream, request: Request, headers: Headers) -> None:
        """RFC 9110, 10.1.1: say 100 ourselves; the upstream then need not be asked."""
        expected = headers.find(_EXPECT)
        if expected is not None and expected.lower() == b"100-continue":
            headers.delete(_EXPECT)
            if not request.end:
                stream.send_interim(100, Headers([]))

    # the way out

    def on_response(self, stream: Stream) -> Verdict:
        """Sign the response."""
        headers = stream.response.headers  # type: ignore[union-attr]  # there is one in this phase
        if b"date" not in headers.block.index and b"date" not in headers.added:
            headers.append(b"date", self._date.now())
        signed = headers.block.grown.get(self._server)  # only blocks that are to be signed grow here
        if signed is not None and b"server" not in headers.added:
            headers.block = signed
        elif self._overwrites_server or (self._adds_server and headers.find(b"server") is None):
            headers.extend(self._server)
        if self._marks:
            self._mark(stream, headers)
        return CONTINUE

    def _mark(self, stream: Stream, headers: Headers) -> None:
        """Say which way the response came, and which request it answers."""
        if self._via:
            _append_to(headers, b"via", self._via, b", ")
        if self._id_in_response:
            request_id = stream.request.headers.find(_REQUEST_ID)
            if request_id is not None:
                headers.put(_REQUEST_ID, request_id)


def _scheme(stream: Stream) -> bytes:
    return b"https" if stream.connection.transport_protocol == "tls" else b"http"


def _append_to(headers: Headers, name: bytes, value: bytes, separator: bytes) -> None:
    """Put ``value`` behind what ``name`` says already, in one field."""
    if headers.find(name) is None:
        headers.append(name, value)
    else:
        headers.put(name, separator.join((*headers.find_all(name), value)))
