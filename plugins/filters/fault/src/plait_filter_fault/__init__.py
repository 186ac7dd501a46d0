"""The fault filter for Plait: aborts and delays on purpose."""

from plait import FilterType, hookimpl
from plait_filter_fault.filter import FaultFilter
from plait_filter_fault.settings import NAME, Abort, Delay, FaultSettings, Share

__all__ = ["Abort", "Delay", "FaultFilter", "FaultSettings", "Share", "plait_filters"]


@hookimpl
def plait_filters() -> list[FilterType]:
    """The filter, whose settings on routes are of the same message and replace those of the chain."""
    return [
        FilterType(
            NAME,
            FaultSettings,
            FaultFilter,
            proto="envoy.extensions.filters.http.fault.v3.HTTPFault",
            translate="plait_filter_fault.translate:fault",
        )
    ]
