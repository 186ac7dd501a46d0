"""acme-lines: a request is a line, its answer is a line; ``acme.network.lines`` routes them by service."""

import plait
from acme_lines.codec import LinesClient, LinesServer, local_response
from acme_lines.proxy import Lines, lines

__all__ = ["Lines", "LinesClient", "LinesServer", "lines", "local_response", "plait_protocols"]


@plait.hookimpl
def plait_protocols() -> list[plait.ProtocolType | plait.NetworkFilterType]:
    """The protocol, and the filter of connections that speaks it."""
    return [
        plait.ProtocolType("acme-lines", LinesServer, LinesClient, local_response),
        plait.NetworkFilterType("acme.network.lines", Lines, lines, terminal=True),
    ]
