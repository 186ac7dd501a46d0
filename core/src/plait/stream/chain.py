"""A filter chain, ready to run: for each phase the bound methods of just those filters that override it.

Requests pass the filters in the order of the configuration, responses in the opposite one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from plait.api.errors import ConfigError
from plait.api.stream import RouterFilter, Stream, StreamFilter, Verdict

Phase = Callable[[Stream], Verdict | Awaitable[Verdict]]
DataPhase = Callable[[Stream, bytes, bool], bytes | Awaitable[bytes]]
Notice = Callable[[Stream], None]
TrailersPhase = Callable[[Stream], bytes | None]


def _overriding(filters: Sequence[StreamFilter], method: str) -> tuple[Any, ...]:
    base = getattr(StreamFilter, method)
    return tuple(getattr(f, method) for f in filters if getattr(type(f), method) is not base)


class FilterChain:
    """``filters`` in the order of the configuration; the last one is the router."""

    def __init__(self, filters: Sequence[StreamFilter], names: Sequence[str] = ()) -> None:
        if not filters or not isinstance(filters[-1], RouterFilter):
            raise ConfigError("a filter chain ends without a router", expected="a router as the last filter")
        self.filters = tuple(filters)
        self.router: RouterFilter = filters[-1]
        self._names = {id(f): name for f, name in zip(filters, names, strict=False)}
        ahead = filters[:-1]
        backwards = tuple(reversed(filters))
        behind = tuple(reversed(ahead))
        self.on_request: tuple[Phase, ...] = _overriding(ahead, "on_request")
        self.terminal: Phase = self.router.on_request
        self.on_request_data: tuple[DataPhase, ...] = _overriding(ahead, "on_request_data")
        self.on_request_trailers: tuple[Notice, ...] = _overriding(ahead, "on_request_trailers")
        self.on_response: tuple[Phase, ...] = _overriding(backwards, "on_response")
        self.on_response_unrouted: tuple[Phase, ...] = _overriding(behind, "on_response")
        """The same without the router, while that does not see responses."""
        self.on_response_data: tuple[DataPhase, ...] = _overriding(backwards, "on_response_data")
        self.on_response_trailers: tuple[TrailersPhase, ...] = _overriding(backwards, "on_response_trailers")
        self.on_end: tuple[Notice, ...] = _overriding(filters, "on_end")
        self.sees_request_body = bool(self.on_request_data or self.on_request_trailers)
        self.sees_response_body = bool(self.on_response_data or self.on_response_trailers)

    def name_of(self, phase: Any) -> str:
        """What the configuration calls the filter that a phase's method belongs to."""
        owner = getattr(phase, "__self__", None)
        return self._names.get(id(owner), type(owner).__name__)

    def close(self) -> None:
        """Give every filter back."""
        for stream_filter in self.filters:
            stream_filter.close()
