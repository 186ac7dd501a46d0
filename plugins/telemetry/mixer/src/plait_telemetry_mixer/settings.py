"""What the filters are told, in Mixer's words: handlers, instances and rules.

The classes called ``…Text`` are what is written; ``translate`` makes ``MixerSettings`` of them, in which the parameters
of a handler are its adapter's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from plait import Extension

NAME = "plait.filters.mixer"
NETWORK_NAME = "plait.filters.network.mixer"


@attrs.frozen
class HandlerText:
    """istio's ``handler``: an adapter with its parameters."""

    name: str
    adapter: str
    params: Mapping[str, object] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class InstanceSettings:
    """istio's ``instance``: a template whose fields are filled by expressions."""

    name: str
    template: str
    params: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    attribute_bindings: Mapping[str, str] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class ActionSettings:
    """Which instances a handler gets."""

    handler: str
    instances: tuple[str, ...]


@attrs.frozen
class HeaderOperation:
    """What to do to a header of requests or responses that a rule let pass; ``values`` are expressions."""

    name: str
    values: tuple[str, ...] = ()
    operation: Literal["REPLACE", "REMOVE", "APPEND"] = "REPLACE"


@attrs.frozen
class RuleSettings:
    """istio's ``rule``: what to do when ``match``, an expression, is true (or empty)."""

    name: str = ""
    match: str = ""
    actions: tuple[ActionSettings, ...] = ()
    request_header_operations: tuple[HeaderOperation, ...] = ()
    response_header_operations: tuple[HeaderOperation, ...] = ()


@attrs.frozen
class MixerText:
    """Settings as they are written."""

    handlers: tuple[HandlerText, ...] = ()
    instances: tuple[InstanceSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    attribute_manifest: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    mixer_attributes: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    policy_check_fail_open: bool = False
    check_cache_entries: int = 10_000


@attrs.frozen
class MixerSettings:
    """Settings of both filters.

    ``attribute_manifest`` adds attributes (name to ValueType) that other filters set; ``mixer_attributes`` are values
    for those that nothing else knows. ``policy_check_fail_open`` lets pass what could not be checked.
    ``check_cache_entries`` 0 is no cache.
    """

    handlers: tuple[Extension, ...] = ()
    instances: tuple[InstanceSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    attribute_manifest: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    mixer_attributes: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    policy_check_fail_open: bool = False
    check_cache_entries: int = 10_000
