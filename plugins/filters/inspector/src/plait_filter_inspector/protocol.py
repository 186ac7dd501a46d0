"""``plait.filters.listener.protocol_inspector``: which of the protocols that plugins speak begins here, or TLS.

Every ``ProtocolType`` can look at the first bytes of a connection (``sniff``), and a protocol that a plugin brings is
recognized by that alone. One port then serves all of them: filter chains match by ``application_protocols``, and the
chain that asks for none takes what nobody knows.
"""

from __future__ import annotations

from plait import Connection, Context, ListenerFilter, Sniff
from plait_filter_inspector.client_hello import ClientHello, read_client_hello
from plait_filter_inspector.settings import ProtocolInspection
from plait_filter_inspector.tls import recognize

_ALSO = {"http1": ("http/1.1",), "http2": ("h2c",)}
"""What Envoy calls a protocol, where that is not the name of its plugin."""


class ProtocolInspector(ListenerFilter):
    """See the module. The first protocol that says yes has it; as long as one wants to see more, the rest waits."""

    def __init__(self, settings: ProtocolInspection, context: Context) -> None:
        if settings.protocols:
            protocols = [context.protocol(name) for name in dict.fromkeys(settings.protocols)]
        else:
            protocols = list(context.protocols().values())
        counter = context.stats.counter
        self._protocols = tuple(
            (one.sniff, (*_ALSO.get(one.name, ()), one.name), counter(f"protocol_inspector.{one.name}_found"))
            for one in protocols
        )
        self._tls = settings.tls
        self._tls_found = counter("protocol_inspector.tls_found")
        self._not_found = counter("protocol_inspector.not_found")

    def peek(self, connection: Connection, prefix: bytes) -> bool:
        if connection.transport_protocol == "tls":
            return True
        waiting = False
        if self._tls:
            hello = read_client_hello(prefix)
            if isinstance(hello, ClientHello) and not hello.problem:
                self._tls_found.value += 1
                recognize(connection, hello)
                return True
            waiting = hello is Sniff.MORE
        for sniff, names, found in self._protocols:
            answer = sniff(prefix)
            if answer is Sniff.YES:
                found.value += 1
                connection.application_protocols = names
                return True
            waiting = waiting or answer is Sniff.MORE
        if waiting:
            return False
        self._not_found.value += 1
        return True
