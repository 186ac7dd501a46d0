"""What a Bolt request says beside service and method, under names of its own, wherever it stands.

Java's callers write target application and trace into the header block, Node's into the ``SofaRequest`` at the head of
a content in Hessian. The header counts where there is one with something in it; the content is read only when it has to
be. What is no text is not there. Source of the names: SOFARPC, ``RemotingConstants``.
"""

from __future__ import annotations

from plait.api import Message
from plait_protocol_bolt.content import fields_of

_TRACE = "rpc_trace_context"
# by name: the headers that may hold it, in lower case, and where it is in a SofaRequest
_ATTRIBUTES: dict[bytes, tuple[tuple[bytes, ...], tuple[tuple[str, ...], ...]]] = {
    b":target-app": ((b"sofa_head_target_app",), (("targetAppName",),)),
    b":caller-app": (
        (b"app", b"rpc_trace_context.sofacallerapp"),
        (("requestProps", "app"), ("requestProps", _TRACE, "sofaCallerApp")),
    ),
    b":trace-id": ((b"rpc_trace_context.sofatraceid",), (("requestProps", _TRACE, "sofaTraceId"),)),
    b":rpc-id": ((b"rpc_trace_context.sofarpcid",), (("requestProps", _TRACE, "sofaRpcId"),)),
}


def attribute_of(message: Message, content: bytes, name: bytes) -> bytes | None:
    """The attribute called ``name``; ``content`` is as much of a content in Hessian as is there, empty for others."""
    places = _ATTRIBUTES.get(name)
    if places is None:
        return None
    for header in places[0]:
        found = message.headers.find(header)
        if found:
            return found
    fields = fields_of(content) if content else {}
    for path in places[1]:
        value: object = fields
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            return value.encode("utf-8", "surrogatepass")
    return None
