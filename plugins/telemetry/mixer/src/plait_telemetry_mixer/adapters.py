"""Mixer's adapters ``denier`` and ``list``: plain classes that answer in process.

``denier`` refuses whatever it is asked. ``list`` (also ``listchecker``) looks a value up: a list lets pass what is in
it, a blacklist what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

import attrs

from plait import Adapter, CheckResult, ConfigError, QuotaResult
from plait.stream import compile_regex
from plait_telemetry_mixer.codes import OK, PERMISSION_DENIED, code_number
from plait_telemetry_mixer.values import parse_duration, parse_ip

INVALID_ARGUMENT = 3


def _is_duration(_: object, field: attrs.Attribute[str], value: str) -> None:
    parse_duration(value)


def _is_refusal(_: object, field: object, value: int | str) -> None:
    if code_number(value) == OK:
        raise ValueError("OK refuses nothing")


def _is_count(_: object, field: attrs.Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"{field.name} is {value}")


@attrs.frozen
class StatusSettings:
    """google.rpc.Status: ``code`` by number or name."""

    code: int | str = attrs.field(default="PERMISSION_DENIED", validator=_is_refusal)
    message: str = ""


@attrs.frozen
class DenierSettings:
    """istio's denier: what to refuse with, and how long and how often that answer may be used."""

    status: StatusSettings = StatusSettings()
    valid_duration: str = attrs.field(default="5s", validator=_is_duration)
    valid_use_count: int = attrs.field(default=1000, validator=_is_count)


class Denier(Adapter):
    """Refuses."""

    def __init__(self, settings: DenierSettings) -> None:
        self._result = CheckResult(
            code_number(settings.status.code),
            settings.status.message,
            parse_duration(settings.valid_duration).total_seconds(),
            settings.valid_use_count,
        )

    def check(self, template: str, instance: Mapping[str, object]) -> CheckResult:
        return self._result

    def allocate(self, template: str, instance: Mapping[str, object], amount: int, best_effort: bool) -> QuotaResult:
        return QuotaResult(0, self._result.valid_duration_s)


@attrs.frozen
class ListSettings:
    """istio's list, its entries in ``overrides``; ``caching_…`` say how long and how often an answer may be used."""

    overrides: tuple[str, ...] = ()
    blacklist: bool = False
    entry_type: Literal["STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX"] = "STRINGS"
    caching_interval: str = attrs.field(default="300s", validator=_is_duration)
    caching_use_count: int = attrs.field(default=10_000, validator=_is_count)

    def __attrs_post_init__(self) -> None:
        try:
            _contains(self)
        except ConfigError as error:
            raise ValueError(error.what) from None


class ListChecker(Adapter):
    """Looks up ``value`` of the template listentry."""

    def __init__(self, settings: ListSettings) -> None:
        self._contains = _contains(settings)
        self._blacklist = settings.blacklist
        self._valid_s = parse_duration(settings.caching_interval).total_seconds()
        self._uses = settings.caching_use_count

    def check(self, template: str, instance: Mapping[str, object]) -> CheckResult:
        value = str(instance.get("value", ""))
        try:
            found = self._contains(value)
        except ValueError:
            return self._result(INVALID_ARGUMENT, f"{value} is not a valid IP address")
        if found and self._blacklist:
            return self._result(PERMISSION_DENIED, f"{value} is blacklisted")
        if not found and not self._blacklist:
            return self._result(PERMISSION_DENIED, f"{value} is not whitelisted")
        return self._result(OK, "")

    def _result(self, status: int, message: str) -> CheckResult:
        return CheckResult(status, message, self._valid_s, self._uses)


def _contains(settings: ListSettings) -> Callable[[str], bool]:
    """A call that says whether a value is in the list. Raises ValueError or ConfigError for a bad entry."""
    entries = settings.overrides
    if settings.entry_type == "STRINGS":
        return frozenset(entries).__contains__
    if settings.entry_type == "CASE_INSENSITIVE_STRINGS":
        folded = frozenset(entry.casefold() for entry in entries)
        return lambda value: value.casefold() in folded
    if settings.entry_type == "IP_ADDRESSES":
        return _networks([ip_network(entry, strict=False) for entry in entries])
    searches = [compile_regex(entry).search for entry in entries]

    def matches(value: str) -> bool:
        raw = value.encode("utf-8", "surrogateescape")
        return any(search(raw) is not None for search in searches)

    return matches


def _networks(networks: list[IPv4Network | IPv6Network]) -> Callable[[str], bool]:
    """Looks an address up by its prefixes, one for each length that occurs: not one by one through the list."""
    known = {(network.version, network.prefixlen, int(network.network_address)) for network in networks}
    lengths = {version: sorted({n.prefixlen for n in networks if n.version == version}) for version in (4, 6)}

    def contains(value: str) -> bool:
        address = parse_ip(value)
        number, bits = int(address), address.max_prefixlen
        for length in lengths[address.version]:
            host_bits = bits - length
            if (address.version, length, number >> host_bits << host_bits) in known:
                return True
        return False

    return contains
