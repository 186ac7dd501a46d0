"""How to speak to a cluster: envoy.extensions.upstreams.http.v3.HttpProtocolOptions, or the options of an RPC protocol.

Those are a TypedStruct under the name that generic_proxy has for the protocol's codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from plait.api.errors import ConfigError
from plait.xds import messages
from plait.xds.positions import Where
from plait.xds.translate.values import duration_s, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

NAME = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RPC_PREFIX = "plait.generic_proxy.codecs."
_CODECS = {"http_protocol_options": "http1", "http2_protocol_options": "http2", "http3_protocol_options": "http3"}
_KINDS = {"explicit_http_config": "", "use_downstream_protocol_config": "caller", "auto_config": "alpn"}
_SEVERAL = {"http_protocol_options", "http2_protocol_options"}
_NO_EFFECT = {"upstream_http_protocol_options": "it is about TLS, which the cluster does not speak"}


@attrs.frozen
class UpstreamHttp:
    """What the model's Cluster has of it."""

    protocol: str = ""
    options: object = None
    idle_timeout_s: float = 3600.0
    max_requests_per_connection: int = 0
    by: str = ""
    choices: Mapping[str, object] = attrs.field(factory=dict, hash=False)

    def with_requests(self, limit: int) -> UpstreamHttp:
        """With the limit of the cluster's own field where this has none."""
        return self if self.max_requests_per_connection else attrs.evolve(self, max_requests_per_connection=limit)


def upstream_http(by_name: Any, where: Where, translator: Translator) -> UpstreamHttp:
    """A cluster's ``typed_extension_protocol_options``: HTTP's, or those of one RPC protocol."""
    found = UpstreamHttp()
    if len(by_name) > 1:
        raise where.error(f"there are options of {len(by_name)} protocols", expected="those of one")
    for name in sorted(by_name):
        at = where / name
        if name.startswith(_RPC_PREFIX):
            return _rpc(name.removeprefix(_RPC_PREFIX), by_name[name], at, translator)
        if name != NAME:
            expected = f"{NAME} or {_RPC_PREFIX}<protocol>"
            translator.report(at.error(f"protocol options {name!r} are not supported yet by plait", expected=expected))
            continue
        message = messages.unpack(by_name[name])
        if message is None or message.DESCRIPTOR.full_name != NAME:
            raise at.error(f"these options are a {messages.type_name(by_name[name].type_url)}", expected=f"a {NAME}")
        found = _options(message, at, translator)
    return found


def _rpc(protocol: str, packed: Any, where: Where, translator: Translator) -> UpstreamHttp:
    registered = translator.protocol(protocol, where)
    held = translator.typed_config(packed, where)
    if held.message is not None or (held.key and held.key != _RPC_PREFIX + protocol):
        raise held.where.error(f"these options are a {held.key}", expected=f"a TypedStruct {_RPC_PREFIX}{protocol}")
    if not held.mapping:
        return UpstreamHttp(protocol)
    what = f"protocol {protocol!r}"
    return UpstreamHttp(protocol, translator.structured(registered.options, what, held.mapping, held.where))


def protocol_choices(
    message: Any, where: Where, translator: Translator, more: Mapping[str, object]
) -> dict[str, object]:
    """The protocols that may be spoken, best one first: of those with options, or whose plugin is there."""
    made: dict[str, object] = {}
    for name, field in (("http2", "http2_protocol_options"), ("http1", "http_protocol_options")):
        try:
            made[name] = translator.protocol_options(name, where, {field: getattr(message, field)}, **more)
        except ConfigError:
            if message.HasField(field):
                raise
    return made


def _options(message: Any, where: Where, translator: Translator) -> UpstreamHttp:
    kind = message.WhichOneof("upstream_protocol_options")
    handled = {"common_http_protocol_options", *_KINDS}
    translator.only(message, where, handled, _NO_EFFECT)
    common, at = message.common_http_protocol_options, where / "common_http_protocol_options"
    known = {"idle_timeout", "max_requests_per_connection", "max_headers_count", "max_response_headers_kb"}
    translator.only(common, at, handled=known)
    protocol, options, by = "", None, ""
    several: dict[str, object] = {}
    more: dict[str, object] = {
        "max_headers_count": wrapped(common, "max_headers_count", None),
        "max_request_headers_kb": wrapped(common, "max_response_headers_kb", None),
    }
    if kind == "explicit_http_config":
        inside = where / kind
        codec = message.explicit_http_config.WhichOneof("protocol_config")
        if codec is None:
            raise inside.error("explicit_http_config names no protocol", expected=f"one of {', '.join(_CODECS)}")
        protocol = _CODECS[codec]
        fields = {codec: getattr(message.explicit_http_config, codec)}
        known_options = more if protocol in ("http1", "http2") else {}
        options = translator.protocol_options(protocol, inside, fields, **known_options)
    elif kind in _KINDS:
        by = _KINDS[kind]
        config, inside = getattr(message, kind), where / kind
        translator.only(config, inside, _SEVERAL, {"http3_protocol_options": "HTTP/3 is not spoken"})
        several = protocol_choices(config, inside, translator, more)
        if by == "alpn" and not several:
            translator.protocol("http1", inside)  # says what to install
    else:
        raise where.error("no protocol is given", expected=f"one of {', '.join(_KINDS)}")
    return UpstreamHttp(
        protocol,
        options,
        duration_s(common, "idle_timeout", at, UpstreamHttp().idle_timeout_s),
        wrapped(common, "max_requests_per_connection", 0),
        by,
        several,
    )
