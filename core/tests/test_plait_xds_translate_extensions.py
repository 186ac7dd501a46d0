"""Who answers for an extension, and how its settings are made, with plugins made of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plait.api.config import Extension, HeaderOps
from plait.api.errors import ConfigError, ConfigErrors, PluginError
from plait.api.extension import FilterType
from plait.plugins import Catalogue, discover
from plait.xds import Positions, Translator, Where, load_bootstrap
from plait.xds.parse import Parsed, load

PLUGIN = """
import attrs
import plait

FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


@attrs.frozen
class Tenant:
    header: str = "x-tenant"
    limits: tuple[int, ...] = ()


class Filter(plait.StreamFilter):
    def __init__(self, settings):
        pass


@plait.hookimpl
def plait_filters():
    return [
        plait.FilterType("acme.filters.tenant", Tenant, Filter),
        plait.FilterType("acme.fault", Tenant, Filter, proto=FAULT, translate="acme_translate:fault"),
        plait.FilterType("acme.fields", Tenant, Filter, proto="envoy.config.core.v3.HeaderValue",
                         route_proto="envoy.config.core.v3.HeaderValueOption",
                         translate="acme_translate:fields", route_translate="acme_translate:route"),
        plait.FilterType("acme.raising", Tenant, Filter, translate="acme_translate:raising"),
        plait.FilterType("acme.wrong", Tenant, Filter, translate="acme_translate:wrong"),
        plait.FilterType("acme.lost", Tenant, Filter, translate="acme_translate:lost"),
        plait.FilterType("acme.mapping", Tenant, Filter, translate="acme_translate:mapping"),
        plait.FilterType("acme.bare", None, Filter),
        plait.FilterType("acme.router", None, Filter, terminal=True),
    ]
"""
TRANSLATE = """
from acme import Tenant
from plait import ConfigError


def fault(message, where, translator):
    if message.HasField("abort"):
        raise (where / "abort").error("no aborts", hint="try delays")
    return Tenant(message.upstream_cluster)


def fields(message, where, translator):
    return Tenant(message.key)


def route(message, where, translator):
    return Tenant("route " + message.header.key)


def raising(mapping, where, translator):
    return 1 / 0


def wrong(mapping, where, translator):
    return "tenant"


def mapping(mapping, where, translator):
    if "bad" in mapping:
        raise ConfigError("bad thing", path=("bad", 1))
    return Tenant(**mapping)
"""
TYPED = "{'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: %s, value: %s}"


@pytest.fixture
def translator(site: Any) -> Translator:
    site.add(
        "acme-plugin",
        {"plait.filters": {"acme": "acme"}},
        modules={"acme": PLUGIN, "acme_translate": TRANSLATE},
    )
    return Translator(Catalogue([info for info in discover() if info.name == "acme"]))


def translated(translator: Translator, text: str) -> Extension:
    """Translate the HttpFilter that is written."""
    from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

    parsed: Parsed[HttpFilter] = load(text, HttpFilter, name="f.yaml")
    message = parsed.message
    packed = message.typed_config if message.HasField("typed_config") else None
    return translator.extension("filters", message.name, packed, parsed.where / "typed_config")


def refusal(translator: Translator, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        translated(translator, text)
    return str(caught.value)


def test_a_typed_struct_becomes_settings_of_the_type_it_names(translator: Translator) -> None:
    made = translated(
        translator,
        "name: mine\ntyped_config: " + TYPED % ("type.googleapis.com/acme.filters.tenant", "{header: x, limits: [3]}"),
    )
    assert (made.name, made.type, made.plugin) == ("mine", "acme.filters.tenant", "filters:acme")
    assert repr(made.settings) == "Tenant(header='x', limits=(3,))"


@pytest.mark.parametrize(
    "config",
    [
        "",
        "typed_config: {}",
        "typed_config: {'@type': type.googleapis.com/google.protobuf.Struct, value: {}}",
        "typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}",
        "typed_config: " + TYPED % ("type.googleapis.com/who.knows", "{}"),
        "typed_config: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct, type_url: a/acme.filters.tenant}",
    ],
)
def test_what_names_no_type_of_its_own_is_found_by_name(translator: Translator, config: str) -> None:
    made = translated(translator, f"name: acme.filters.tenant\n{config}")
    assert repr(made.settings) == "Tenant(header='x-tenant', limits=())"


def test_every_wrong_setting_is_refused_at_its_place(translator: Translator) -> None:
    text = """\
name: a
typed_config:
  "@type": type.googleapis.com/xds.type.v3.TypedStruct
  type_url: acme.filters.tenant
  value:
    header: 3
    limits:
    - 1
    - two
    heeder: x
"""
    assert refusal(translator, text).splitlines() == [
        "f.yaml:6:13: field 'header' is 3, expected text, put it in quotes",
        "f.yaml:9:7: field 'limits[1]' is 'two', expected a whole number",
        "f.yaml:10:13: unknown field 'heeder', expected one of header, limits, did you mean 'header'?",
    ]


def test_a_filter_without_settings_takes_none(translator: Translator) -> None:
    assert translated(translator, "name: acme.bare").settings is None
    said = refusal(translator, "name: acme.bare\ntyped_config: " + TYPED % ("acme.bare", "{a: 1}"))
    assert said == "f.yaml:2:102: acme.bare has no settings, expected no fields"


def test_a_message_is_translated_by_the_plugin(translator: Translator) -> None:
    config = "{'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, upstream_cluster: c}"
    made = translated(translator, f"name: any\ntyped_config: {config}")
    assert (made.type, repr(made.settings)) == ("acme.fault", "Tenant(header='c', limits=())")
    assert repr(translated(translator, "name: acme.fault").settings) == "Tenant(header='', limits=())"
    spelt = TYPED % ("envoy.extensions.filters.http.fault.v3.HTTPFault", "{upstreamCluster: d}")
    assert repr(translated(translator, f"name: any\ntyped_config: {spelt}").settings) == "Tenant(header='d', limits=())"


def test_what_a_translation_refuses_is_refused_at_its_place(translator: Translator) -> None:
    text = """\
name: any
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
  abort: {http_status: 500}
"""
    assert refusal(translator, text) == "f.yaml:4:3: no aborts, try delays"
    text = (
        "name: acme.mapping\ntyped_config:\n  '@type': a/xds.type.v3.TypedStruct\n  value:\n    bad:\n    - 1\n    - 2"
    )
    assert refusal(translator, text + "\n  type_url: acme.mapping") == "f.yaml:7:7: bad thing"
    spelt = TYPED % ("envoy.extensions.filters.http.fault.v3.HTTPFault", "{upstream_clutser: d}")
    assert refusal(translator, f"name: any\ntyped_config: {spelt}") == (
        "f.yaml:2:156: unknown field 'upstream_clutser' in envoy.extensions.filters.http.fault.v3.HTTPFault, "
        "expected a field of it, did you mean 'upstream_cluster'"
    )
    spelt = TYPED % ("envoy.extensions.filters.http.fault.v3.HTTPFault", "{maxActiveFaults: 3, abort: {}}")
    assert refusal(translator, f"name: any\ntyped_config: {spelt}") == "f.yaml:2:158: no aborts, try delays"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acme.raising", "its translation acme_translate:raising raised ZeroDivisionError: division by zero"),
        ("acme.wrong", "its translation gave an object of type str, expected Tenant"),
        ("acme.lost", "its translation acme_translate:lost cannot be imported"),
    ],
)
def test_a_broken_translation_is_the_plugins_fault(translator: Translator, name: str, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        translated(translator, f"name: {name}")
    assert said in str(caught.value)
    assert "filters:acme" in str(caught.value)


def test_a_message_that_does_not_configure_the_type_is_refused(translator: Translator) -> None:
    with pytest.raises(ConfigError) as caught:
        translator.extension(FilterType, "acme.filters.tenant", _any_of_fault(), Where(Positions.nowhere()))
    assert caught.value.what == "extension 'envoy.config.core.v3.Address' cannot be used: no installed plugin " \
        "registers this FilterType"  # fmt: skip


def _any_of_fault() -> object:
    from envoy.config.core.v3.address_pb2 import Address
    from google.protobuf.any_pb2 import Any as AnyMessage

    packed = AnyMessage()
    packed.Pack(Address())
    return packed


def test_a_missing_plugin_is_named_with_what_to_install(translator: Translator) -> None:
    text = "name: a\ntyped_config:\n  '@type': type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
    assert refusal(translator, text) == (
        "f.yaml:2:1: extension 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb' cannot be used: it is not "
        "installed, install the distribution plait-filter-grpc-web"
    )
    assert refusal(translator, "name: acme.filters.tennant") == (
        "f.yaml:1:1: extension 'acme.filters.tennant' cannot be used: no installed plugin registers this FilterType, "
        "did you mean 'acme.filters.tenant'?"
    )
    assert refusal(translator, "{}") == (
        "f.yaml:1:1: the extension has neither a name nor a typed_config, expected both"
    )


def test_a_plugin_that_is_left_out_is_named(site: Any) -> None:
    site.add("acme-plugin", {"plait.filters": {"acme": "acme"}, "plait.extensions": {"acme.bare": "acme"}},
             modules={"acme": PLUGIN})  # fmt: skip
    found = [info for info in discover() if info.name == "acme"]
    said = refusal(Translator(Catalogue(found, blocked=["acme"])), "name: acme.bare")
    assert said.endswith("its plugin filters:acme is left out, take filters:acme out of --no-plugins")


def test_a_plugin_that_cannot_be_imported_is_no_error_of_the_configuration(site: Any) -> None:
    site.add("acme-plugin", {"plait.filters": {"acme": "acme"}}, modules={"acme": "1/0"})
    broken = Translator(Catalogue([info for info in discover() if info.name == "acme"]))
    with pytest.raises(PluginError, match="ZeroDivisionError"), broken.collect():
        translated(broken, "name: acme.bare")


def route_settings(translator: Translator, text: str) -> dict[str, object]:
    from envoy.config.route.v3.route_components_pb2 import Route

    parsed: Parsed[Route] = load(f"typed_per_filter_config:\n{text}", Route, name="f.yaml")
    made = translator.filter_settings(parsed.message.typed_per_filter_config, parsed.where / "typed_per_filter_config")
    translator.raise_all()
    return made


def test_settings_on_routes_are_by_the_name_of_the_filter(translator: Translator) -> None:
    made = route_settings(
        translator,
        "  mine: {'@type': a/envoy.extensions.filters.http.fault.v3.HTTPFault, upstream_cluster: c}\n"
        "  acme.fields: {'@type': a/envoy.config.core.v3.HeaderValueOption, header: {key: k}}\n"
        "  acme.filters.tenant: " + TYPED % ("acme.filters.tenant", "{header: x}") + "\n"
        "  wrapped: {'@type': a/envoy.config.route.v3.FilterConfig, config: "
        "{'@type': a/envoy.extensions.filters.http.fault.v3.HTTPFault}}\n",
    )
    assert {name: repr(settings) for name, settings in made.items()} == {
        "acme.fields": "Tenant(header='route k', limits=())",
        "acme.filters.tenant": "Tenant(header='x', limits=())",
        "mine": "Tenant(header='c', limits=())",
        "wrapped": "Tenant(header='', limits=())",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "  acme.bare: {'@type': a/envoy.extensions.filters.http.fault.v3.HTTPFault}",
            "f.yaml:2:3: typed_config is a envoy.extensions.filters.http.fault.v3.HTTPFault, expected settings of "
            "'acme.bare'",
        ),
        (
            "  acme.fields: {'@type': a/envoy.config.core.v3.HeaderValue, key: k}",
            "f.yaml:2:3: typed_config is a envoy.config.core.v3.HeaderValue, expected a "
            "envoy.config.core.v3.HeaderValueOption on a route",
        ),
        ("  acme.router: " + TYPED % ("acme.router", "{}"), "f.yaml:2:3: 'acme.router' has no settings on routes, "
         "remove them"),
        (
            "  mine: {'@type': a/envoy.config.route.v3.FilterConfig, disabled: true, config: "
            "{'@type': a/envoy.extensions.filters.http.fault.v3.HTTPFault}}",
            "f.yaml:2:67: field 'disabled' is not supported yet by plait",
        ),
    ],
)  # fmt: skip
def test_settings_that_do_not_belong_on_a_route_are_refused(translator: Translator, text: str, said: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        route_settings(translator, text)
    assert str(caught.value) == said


def test_a_registry_in_the_bootstrap_lets_clusters_come_later(tmp_path: Path) -> None:
    text = f"""
bootstrap_extensions:
- name: services
  typed_config:
    "@type": type.googleapis.com/xds.type.v3.TypedStruct
    type_url: type.googleapis.com/plait.registries.file
    value: {{path: {tmp_path}/services.yaml}}
static_resources:
  clusters:
  - {{name: shop, type: EDS, eds_cluster_config: {{service_name: acme.shop}}}}
"""
    made = load_bootstrap("", text, Catalogue(discover()))
    assert [(one.name, one.type, one.plugin) for one in made.registries] == [
        ("services", "plait.registries.file", "registries:file")
    ]
    assert (made.clusters[0].type, made.clusters[0].eds_service_name) == ("eds", "acme.shop")


def test_protocol_options_are_the_fields_of_the_same_name(translator: Translator) -> None:
    from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions

    all_there = Translator(Catalogue(discover()))
    where = Where(Positions.nowhere())
    message = Http1ProtocolOptions(enable_trailers=True)
    message.allow_absolute_url.value = False
    made = all_there.protocol_options("http1", where, {"http_protocol_options": message}, max_headers_count=7)
    assert "enable_trailers=True" in repr(made)
    assert "allow_absolute_url=False" in repr(made)
    assert "max_headers_count=7" in repr(made)
    assert all_there.protocol_options("http1", where, {"a": Http1ProtocolOptions()}, max_headers_count=None) is None
    message.header_key_format.proper_case_words.SetInParent()
    all_there.protocol_options("http1", where, {"http_protocol_options": message})
    assert [error.what for error in all_there.errors] == ["field 'header_key_format' is not supported yet by plait"]


def test_header_operations_are_of_the_model() -> None:
    from envoy.config.route.v3.route_components_pb2 import VirtualHost

    from plait.xds import header_ops

    assert header_ops(VirtualHost(), Where(Positions.nowhere())) == HeaderOps()


UDP = """
import plait


@plait.hookimpl
def plait_protocols():
    return [plait.UdpFilterType("acme.udp", None, lambda settings: None)]


@plait.hookimpl
def plait_filters():
    return [plait.ListenerFilterType("acme.peek", None, lambda settings: None)]


@plait.hookimpl
def plait_telemetry():
    return [plait.AccessLogType("acme.log", None, lambda settings: None)]
"""
UDP_LISTENER = """
static_resources:
  listeners:
  - name: u
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: 53}}}}
    listener_filters: {filters}
"""


@pytest.fixture
def catalogue(site: Any) -> Catalogue:
    groups = {f"plait.{kind}": {"acme": "acme"} for kind in ("protocols", "filters", "telemetry")}
    site.add("acme-plugin", groups, modules={"acme": UDP})
    return Catalogue([info for info in discover() if info.name == "acme"])


def test_the_filter_of_a_udp_listener_is_its_one_listener_filter(catalogue: Catalogue) -> None:
    made = load_bootstrap("", UDP_LISTENER.format(filters="[{name: acme.udp}]"), catalogue).listeners[0]
    assert made.udp == Extension("acme.udp", "acme.udp", None, "protocols:acme")
    assert (made.listener_filters, made.filter_chains, made.address.udp) == ((), (), True)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("[]", "--config-yaml:6:5: a UDP listener has 0 filters in listener_filters, expected one, such as "
         "envoy.filters.udp_listener.udp_proxy"),
        ("[{name: acme.peek}]", "--config-yaml:6:24: 'acme.peek' is a listener filter, expected a UDP listener's "
         "filter"),
        ("[{name: acme.udp}]\n    filter_chains: [{filters: []}]", "--config-yaml:7:5: a UDP listener has "
         "filter_chains, expected its filter in listener_filters"),
    ],
)  # fmt: skip
def test_a_udp_listener_takes_nothing_else(catalogue: Catalogue, filters: str, said: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_bootstrap("", UDP_LISTENER.format(filters=filters), catalogue)
    assert str(caught.value) == said


def test_access_logs_and_listener_filters_are_extensions(catalogue: Catalogue) -> None:
    text = UDP_LISTENER.format(filters="[{name: acme.peek}]\n    access_log: [{name: acme.log}]").replace(
        "protocol: UDP", "protocol: TCP"
    )
    with pytest.raises(ConfigErrors, match="the listener has no filter_chains"):
        load_bootstrap("", text, catalogue)
    translator = Translator(catalogue)
    from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

    from plait.xds.translate.listener import listener

    parsed = load(text, Bootstrap)
    at = parsed.where / "static_resources" / "listeners" / 0
    made = listener(parsed.message.static_resources.listeners[0], at, translator)
    assert made.access_log == (Extension("acme.log", "acme.log", None, "telemetry:acme"),)
    assert made.listener_filters == (Extension("acme.peek", "acme.peek", None, "filters:acme"),)
