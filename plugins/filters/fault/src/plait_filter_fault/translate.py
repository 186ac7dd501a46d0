"""From Envoy's HTTPFault to the settings. Imported where configuration is read, never in a worker."""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where, header_matcher, millionths, seconds
from plait_filter_fault.settings import Abort, Delay, FaultSettings, Share

_STEPS = {0: 10_000, 1: 100, 2: 1}
"""Millionths in one of FractionalPercent's HUNDRED, TEN_THOUSAND and MILLION."""

_UNSUPPORTED = ("response_rate_limit", "filter_metadata")


def fault(message: Any, where: Where, translator: Translator) -> FaultSettings:
    """Settings of the filter, or of a route. ``…_runtime`` names a key that nobody can set, so its default stands."""
    for field in _UNSUPPORTED:
        if message.HasField(field):
            raise (where / field).error(f"{field} is not supported", hint="leave it out")
    return FaultSettings(
        delay=_delay(message.delay, where / "delay") if message.HasField("delay") else None,
        abort=_abort(message.abort, where / "abort") if message.HasField("abort") else None,
        upstream_cluster=message.upstream_cluster,
        headers=tuple(header_matcher(one, where / "headers" / index) for index, one in enumerate(message.headers)),
        downstream_nodes=frozenset(message.downstream_nodes),
        max_active_faults=message.max_active_faults.value if message.HasField("max_active_faults") else None,
        disable_downstream_cluster_stats=message.disable_downstream_cluster_stats,
    )


def _delay(message: Any, where: Where) -> Delay:
    share = _share(message.percentage)
    kind = message.WhichOneof("fault_delay_secifier")  # sic
    if kind is None:
        raise where.error("the delay has no length", expected="fixed_delay or header_delay")
    if kind == "header_delay":
        return Delay(share)
    length = seconds(message.fixed_delay)
    if length <= 0:
        raise (where / "fixed_delay").error(f"the delay is {length:g} s", expected="more than 0")
    return Delay(share, length)


def _abort(message: Any, where: Where) -> Abort:
    share = _share(message.percentage)
    kind = message.WhichOneof("error_type")
    if kind is None:
        raise where.error("the abort has no status", expected="http_status or header_abort")
    if kind == "grpc_status":
        raise (where / "grpc_status").error("grpc_status is not supported", hint="use http_status")
    if kind == "header_abort":
        return Abort(share)
    if not 200 <= message.http_status < 600:
        raise (where / "http_status").error(f"the status is {message.http_status}", expected="200 to 599")
    return Abort(share, message.http_status)


def _share(message: Any) -> Share:
    return Share(min(millionths(message), 1_000_000), _STEPS.get(message.denominator, 10_000))
