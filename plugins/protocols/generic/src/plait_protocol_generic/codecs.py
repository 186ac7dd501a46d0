"""``codec_config``: which protocol is spoken, and its options.

Envoy's messages name the protocols that Envoy has. Every other one that a plugin registers is named by a TypedStruct
of the type ``plait.generic_proxy.codecs.<protocol>``, whose value is the protocol's options, or by that name alone.
"""

from __future__ import annotations

from typing import Any

from plait.xds import Translator, Where

PREFIX = "plait.generic_proxy.codecs."

_PROTOS = "envoy.extensions.filters.network.generic_proxy.codecs."
_ENVOY = {_PROTOS + "dubbo.v3.DubboCodecConfig": "dubbo"}
_HTTP1 = _PROTOS + "http1.v3.Http1CodecConfig"


def codec(message: Any, where: Where, translator: Translator) -> tuple[str, object]:
    """The protocol of a GenericProxy at ``where`` and its options, None for the defaults; raises ConfigError."""
    at = where / "codec_config"
    if not message.HasField("codec_config"):
        raise where.error("the proxy has no codec_config", f"a codec, such as a TypedStruct {PREFIX}bolt")
    config = message.codec_config
    translator.only(config, at, {"name", "typed_config"})
    held = translator.typed_config(config.typed_config, at / "typed_config")
    if held.key == _HTTP1:
        hint = "envoy.filters.network.http_connection_manager speaks HTTP, with the rules of its edge"
        raise held.where.error("HTTP is not spoken by generic_proxy", "an RPC protocol", hint)
    if held.key in _ENVOY:
        held.for_proto(held.key)
        protocol = _ENVOY[held.key]
        translator.protocol(protocol, held.where)
        return protocol, None
    named = held.key or config.name
    if held.message is not None or not named.startswith(PREFIX):
        expected = f"{PREFIX}<protocol>, or {', '.join(_ENVOY)}"
        raise held.where.error(f"{named!r} is no codec of generic_proxy", expected)
    protocol = named.removeprefix(PREFIX)
    registered = translator.protocol(protocol, held.where)
    if not held.mapping:
        return protocol, None
    return protocol, translator.structured(registered.options, f"protocol {protocol!r}", held.mapping, held.where)
