"""Mixer inside the data plane: handlers, instances, rules and adapters that check in process."""

from plait import AdapterType, FilterType, NetworkFilterType, hookimpl
from plait_telemetry_mixer.adapters import Denier, DenierSettings, ListChecker, ListSettings
from plait_telemetry_mixer.filter import MixerNetworkFilter, mixer_filter
from plait_telemetry_mixer.settings import NAME, NETWORK_NAME, MixerSettings

__all__ = ["MixerSettings", "plait_filters", "plait_policies"]

_TRANSLATE = "plait_telemetry_mixer.translate:mixer"


@hookimpl
def plait_filters() -> list[FilterType | NetworkFilterType]:
    """The filter of streams and the one of connections; their settings are the same."""
    return [
        FilterType(NAME, MixerSettings, mixer_filter, translate=_TRANSLATE),
        NetworkFilterType(NETWORK_NAME, MixerSettings, MixerNetworkFilter, translate=_TRANSLATE),
    ]


@hookimpl
def plait_policies() -> list[AdapterType]:
    """The adapters that come with Mixer, under its names; listchecker is the list's other one."""
    return [
        AdapterType("denier", DenierSettings, Denier, ("checknothing", "listentry", "quota")),
        AdapterType("list", ListSettings, ListChecker, ("listentry",)),
        AdapterType("listchecker", ListSettings, ListChecker, ("listentry",)),
    ]
