"""A configuration becomes the message that Envoy would make of it, and every field and error has its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, FloatValue, Int64Value, UInt32Value
from xds.type.v3.typed_struct_pb2 import TypedStruct

from plait.api.errors import ConfigError, ConfigErrors
from plait.xds import messages
from plait.xds.parse import Parsed, UnknownType, load, merge
from plait.xds.positions import Position, Positions, Where, did_you_mean

EDGE = """\
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: auto
          statPrefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: one, timeout: 1.5s}
          http_filters:
          - name: acme.filters.tenant
            typed_config:
              "@type": type.googleapis.com/xds.type.v3.TypedStruct
              type_url: acme.filters.tenant
              value: {header: x-acme, limits: [3, 0.5]}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: one
    connect_timeout: 0.25s
    type: strict_dns
"""


def cluster(extra: str) -> Parsed[Any]:
    """Read a cluster of which the third line on is given."""
    return load(f"name: a\nconnect_timeout: 1s\n{extra}\n", Cluster, name="a.yaml")


def errors(text: str, message_class: Any = Cluster, **options: Any) -> list[ConfigError]:
    """Return what is wrong with a text."""
    with pytest.raises(ConfigErrors) as caught:
        load(text, message_class, name="a.yaml", **options)
    return list(caught.value.errors)


def error(text: str, message_class: Any = Cluster, **options: Any) -> str:
    """Return the only thing that is wrong with a text."""
    (only,) = errors(text, message_class, **options)
    return str(only)


def test_bootstrap_is_read_with_what_its_anys_hold() -> None:
    bootstrap = load(EDGE, Bootstrap).message
    assert bootstrap.admin.address.socket_address.port_value == 9901
    listener, one = bootstrap.static_resources.listeners[0], bootstrap.static_resources.clusters[0]
    assert one.type == Cluster.STRICT_DNS
    assert one.connect_timeout == Duration(nanos=250_000_000)
    manager = HttpConnectionManager.FromString(listener.filter_chains[0].filters[0].typed_config.value)
    assert manager.codec_type == HttpConnectionManager.AUTO
    assert manager.stat_prefix == "in"
    assert manager.route_config.virtual_hosts[0].routes[0].route.timeout == Duration(seconds=1, nanos=500_000_000)
    settings = TypedStruct.FromString(manager.http_filters[0].typed_config.value)
    assert settings.type_url == "acme.filters.tenant"
    # a fraction in YAML is text inside a Struct, in Envoy too
    assert MessageToDict(settings.value) == {"header": "x-acme", "limits": [3, "0.5"]}
    assert messages.unpack(manager.http_filters[1].typed_config) == Router()


def test_positions_go_through_anys() -> None:
    where = load(EDGE, Bootstrap, name="edge.yaml").where / "static_resources"
    manager = where / "listeners" / 0 / "filter_chains" / 0 / "filters" / 0 / "typed_config"
    tenant = manager / "http_filters" / 0 / "typed_config"
    places = {
        where / "clusters" / 0 / "name": (31, 11),
        where / "clusters" / 0: (31, 5),
        where / "clusters": (30, 3),
        manager: (10, 9),
        manager / "@type": (11, 20),
        manager / "codec_type": (12, 23),
        manager / "stat_prefix": (13, 23),
        manager / "route_config" / "virtual_hosts" / 0 / "domains" / 0: (17, 25),
        manager / "route_config" / "virtual_hosts" / 0 / "routes" / 0 / "route" / "timeout": (20, 48),
        tenant / "value" / "limits" / 1: (26, 51),
    }
    assert {place: (place.position.line, place.position.column) for place in places} == places


def test_position_of_a_field_not_written_is_that_of_its_parent() -> None:
    where = load(EDGE, Bootstrap, name="edge.yaml").where
    listener = where / "static_resources" / "listeners" / 0
    assert (listener / "reuse_port" / "value").position == Position("edge.yaml", 5, 5)
    assert (where / "node" / "id").position == Position("edge.yaml", 1, 1)


def test_error_of_a_cursor_says_where_it_stands() -> None:
    where = load(EDGE, Bootstrap, name="edge.yaml").where / "static_resources" / "clusters" / 0 / "name"
    made = where.error("unknown cluster 'x'", expected="one of a, b", hint="did you mean 'a'")
    assert str(made) == "edge.yaml:31:11: unknown cluster 'x', expected one of a, b, did you mean 'a'"
    assert made.path == ("static_resources", "clusters", 0, "name")
    assert str(where) == "static_resources.clusters[0].name"


def test_message_from_the_wire_has_no_place() -> None:
    where = Where(Positions.nowhere("ads")) / "name"
    assert (where.position.line, where.position.file) == (0, "ads")
    assert str(where.error("bad name")) == "bad name"


# What `envoy --mode validate` (1.40) said to a cluster with this in it: read, or refused as unreadable.
READ_BY_ENVOY = {
    "lb_policy: round_robin": ("lb_policy", 0),
    "lbPolicy: Least_Request": ("lb_policy", 1),
    "lb_policy: 2": ("lb_policy", 2),
    "lb_policy: '03'": ("lb_policy", 3),
    "lb_policy: 0x3": ("lb_policy", 3),
    "lb_policy: null": ("lb_policy", 0),
    "ignore_health_on_host_removal: y": ("ignore_health_on_host_removal", True),
    "ignore_health_on_host_removal: On": ("ignore_health_on_host_removal", True),
    "ignore_health_on_host_removal: 'yes'": ("ignore_health_on_host_removal", True),
    "ignore_health_on_host_removal: '0'": ("ignore_health_on_host_removal", False),
    "alt_stat_name: 1.5": ("alt_stat_name", "1.5"),
    "alt_stat_name: 1e3": ("alt_stat_name", "1e3"),
    "alt_stat_name: 99999999999": ("alt_stat_name", "99999999999"),
    "alt_stat_name: ~": ("alt_stat_name", ""),
    "alt_stat_name: 'y'": ("alt_stat_name", "y"),
    **{
        f"per_connection_buffer_limit_bytes: {written}": ("per_connection_buffer_limit_bytes", UInt32Value(value=value))
        for written, value in {
            "5": 5, "'5'": 5, "5.0": 5, "5.": 5, "1e1": 10, "0x10": 16, "010": 8, "'0x10'": 16, "08": 8, "+5": 5,
            "'+5'": 5, "'-0'": 0, "{value: 5}": 5, "4294967295": 4294967295,
        }.items()
    },
    "connect_timeout: {seconds: 3}": ("connect_timeout", Duration(seconds=3)),
    "connect_timeout: 001.5s": ("connect_timeout", Duration(seconds=1, nanos=500_000_000)),
    "connect_timeout: -0.5s": ("connect_timeout", Duration(nanos=-500_000_000)),
}  # fmt: skip

REFUSED_BY_ENVOY = (
    *(f"lb_policy: {x}" for x in ("round-robin", "roundrobin", "true", "1.0", "'0x1'")),
    *(f"ignore_health_on_host_removal: {x}" for x in ("oN", "1", "0", "[]", "maybe")),
    *(f"alt_stat_name: {x}" for x in ("y", "on", "12", "true", "0x10", "[a]", "{a: b}", "!!str 5")),
    *(
        f"per_connection_buffer_limit_bytes: {x}"
        for x in ("5.5", "-1", "4294967296", "0o10", "1_000", "true", "abc", "' 5'", "''", "1e400", "0x", "[]", "nan")
    ),
    *(
        f"connect_timeout: {x}"
        for x in ("1", "'1'", "1.5", "1m", "250ms", "+1s", "1.s", ".5s", "[]", "1.1234567891s", "315576000001s")
    ),
    "type: static\ncluster_type: {name: x}",
    "LbPolicy: random",
    "metadata: {filter_metadata: {a: [1]}}",
    "metadata: {filter_metadata: [a]}",
    "transport_socket: {typed_config: {a: b}}",
    "transport_socket: {typed_config: {'@type': null}}",
    "transport_socket: {typed_config: {'@type': acme.X}}",
    "transport_socket: {typed_config: {'@type': /acme.X}}",
    "transport_socket: {typed_config: {'@type': type.googleapis.com/}}",
    "transport_socket: {typed_config: {'@type': x/google.protobuf.Struct, a: b}}",
)


@pytest.mark.parametrize("extra", READ_BY_ENVOY)
def test_what_envoy_reads_is_read(extra: str) -> None:
    field, value = READ_BY_ENVOY[extra]
    assert getattr(load(f"name: a\n{extra}", Cluster).message, field) == value


@pytest.mark.parametrize("extra", REFUSED_BY_ENVOY)
def test_what_envoy_cannot_read_is_refused(extra: str) -> None:
    assert all(made.line in (2, 3) for made in errors(f"name: a\n{extra}"))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("lb_polic: random",
         "3:1: unknown field 'lb_polic' in envoy.config.cluster.v3.Cluster, expected a field of it, "
         "did you mean 'lb_policy'"),
        ("lb_policy: randm",
         "3:12: unknown value 'randm' for lb_policy, expected one of ROUND_ROBIN, LEAST_REQUEST, RING_HASH, "
         "RANDOM, MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG, did you mean 'RANDOM'"),
        ("eds_cluster_config: {zzz: 1}",
         "3:22: unknown field 'zzz' in envoy.config.cluster.v3.Cluster.EdsClusterConfig, "
         "expected one of eds_config, service_name"),
        ("alt_stat_name: on", "3:16: alt_stat_name is true (written on), expected a string, put it in quotes"),
        ("filters: [{name: 5}]", "3:18: name is 5, expected a string, put it in quotes"),
        ("filters: [null]", "3:11: filters[0] is null, expected a value"),
        ("dns_resolvers: [[a]]",
         "3:17: dns_resolvers[0] is a list, expected a mapping with the fields of envoy.config.core.v3.Address"),
        ("type: static\ncluster_type: {name: x}",
         "4:1: 'cluster_type' excludes 'type', which is given at a.yaml:3:1, expected one of the two "
         "(cluster_discovery_type)"),
        ("lb_policy: random\nlbPolicy: maglev",
         "4:1: field 'lbPolicy' is given again, expected each field once, first given at a.yaml:3:1"),
        ("lb_policy: random\nlb_policy: maglev",
         "4:1: key 'lb_policy' is given again, expected each key once, first given at a.yaml:3:1"),
        ("transport_socket: {typed_config: {'@type': envoy.X}}",
         "3:44: 'envoy.X' is not the type of a message, expected '@type: type.googleapis.com/' and the full name of a "
         "message, put type.googleapis.com/ before it"),
        ("transport_socket: {typed_config: 5}", "3:34: typed_config is 5, expected a mapping with '@type'"),
    ],
)  # fmt: skip
def test_error_says_what_is_wrong_where_and_what_was_expected(extra: str, message: str) -> None:
    assert error(f"name: a\nconnect_timeout: 1s\n{extra}") == f"a.yaml:{message}"


def test_all_errors_of_a_text_come_in_its_order() -> None:
    found = errors("lb_polic: 1\nname: 5\nconnect_timeout: soon\nname: b\nfilters:\n- nam: x\n- name: on\n")
    assert [(made.line, made.column) for made in found] == [(1, 1), (2, 7), (3, 18), (4, 1), (6, 3), (7, 9)]
    assert found[4].path == ("filters", 0, "nam")
    with pytest.raises(ConfigErrors) as caught:
        load("name: 5\nzzz: 1", Cluster, name="a.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_error_inside_an_any_has_its_own_place() -> None:
    text = EDGE.replace("codec_type: auto", "codec_type: atuo")
    found = error(text, Bootstrap)
    assert found.startswith("a.yaml:12:23: unknown value 'atuo' for codec_type, expected one of AUTO, HTTP1")
    assert found.endswith("did you mean 'AUTO'")


def test_unknown_type_keeps_its_name_and_takes_advice() -> None:
    text = "transport_socket:\n  typed_config:\n    '@type': type.googleapis.com/acme.tls.Tenant"
    (made,) = errors(text, advise=lambda name: f"install plait-{name.partition('.')[0]}")
    assert isinstance(made, UnknownType)
    assert made.type_name == "acme.tls.Tenant"
    assert str(made) == (
        "a.yaml:3:14: unknown type 'acme.tls.Tenant', expected a message type of an installed distribution, "
        "install plait-acme"
    )


def test_misspelt_type_gets_a_suggestion() -> None:
    text = "transport_socket: {typed_config: {'@type': x/envoy.extensions.filters.http.router.v3.Ruoter}}"
    assert error(text).endswith("did you mean 'envoy.extensions.filters.http.router.v3.Router'")


@pytest.mark.parametrize("name", ["os.path", "antigravity.X", "envoy..X", "envoy/../x.Y", "envoy.X", "plait.cli.main"])
def test_type_names_do_not_import_other_modules(name: str) -> None:
    before = set(sys.modules)
    assert messages.message_class(name) is None
    assert {module for module in sys.modules if module not in before and not module.startswith("envoy")} == set()


def test_nested_message_type_is_found() -> None:
    made = messages.message_class("envoy.extensions.access_loggers.file.v3.FileAccessLog")
    assert made is not None
    nested = messages.message_class("envoy.config.route.v3.RouteAction.HashPolicy.Header")
    assert nested is not None
    assert nested.DESCRIPTOR.full_name == "envoy.config.route.v3.RouteAction.HashPolicy.Header"


def test_unpack_gives_none_for_what_it_cannot_read() -> None:
    assert messages.unpack(AnyMessage(type_url="x/acme.X")) is None
    assert messages.unpack(AnyMessage(type_url="x/envoy.config.cluster.v3.Cluster", value=b"\xff")) is None


def test_any_of_a_well_known_type_has_a_value() -> None:
    url = "type.googleapis.com/google.protobuf"
    parsed = load(f"'@type': {url}.Duration\nvalue: 1.5s", AnyMessage)
    assert messages.unpack(parsed.message) == Duration(seconds=1, nanos=500_000_000)
    parsed = load(f"'@type': {url}.Any\nvalue: {{'@type': {url}.UInt32Value, value: 7}}", AnyMessage)
    inner = messages.unpack(parsed.message)
    assert isinstance(inner, AnyMessage)
    assert messages.unpack(inner) == UInt32Value(value=7)
    assert load("{}", AnyMessage).message == AnyMessage()
    assert error(f"'@type': {url}.Duration\nvalue: soon", AnyMessage) == (
        "a.yaml:2:8: the document is 'soon', expected a duration in seconds such as \"0.25s\""
    )


def test_lone_value_is_a_list_of_one() -> None:
    parsed = cluster("filters: {name: a}")
    assert [item.name for item in parsed.message.filters] == ["a"]
    assert (parsed.where / "filters" / 0 / "name").position == Position("a.yaml", 3, 17)


def test_maps_take_keys_of_their_type() -> None:
    parsed = load("initial_resource_versions: {a: '1', 2: null}", DeltaDiscoveryRequest)
    assert dict(parsed.message.initial_resource_versions) == {"a": "1", "2": ""}
    metadata = cluster("metadata: {filter_metadata: {a: {b: null, c: 1.5, d: [y, {}]}, e: null}}").message.metadata
    assert MessageToDict(metadata.filter_metadata["a"]) == {"b": None, "c": "1.5", "d": [True, {}]}
    assert metadata.filter_metadata["e"] == Struct()


def test_json_file_keeps_numbers_of_structs(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"name": "a", "metadata": {"filter_metadata": {"a": {"b": 1.5, "c": 12345678901}}}}')
    parsed = load(path, Cluster)
    assert MessageToDict(parsed.message.metadata.filter_metadata["a"]) == {"b": 1.5, "c": 12345678901}
    place = parsed.where / "metadata" / "filter_metadata" / "a" / "b"
    assert str(place.position) == f"{path}:1:59"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-31T12:00:00.5Z", Timestamp(seconds=1769860800, nanos=500_000_000)),
        ("'2026-01-31T14:00:00+02:00'", Timestamp(seconds=1769860800)),
        ("'aB,c'", FieldMask(paths=["a_b", "c"])),
        ("aGk=", BytesValue(value=b"hi")),
        ("aGk", BytesValue(value=b"hi")),
        ("a-_k", BytesValue(value=b"k\xef\xe4")),
        ("a+/k", BytesValue(value=b"k\xef\xe4")),
        ("'-9223372036854775808'", Int64Value(value=-(2**63))),
        ("-9223372036854775808", Int64Value(value=-(2**63))),
        (".5", FloatValue(value=0.5)),
        ("-Infinity", FloatValue(value=float("-inf"))),
    ],
)
def test_well_known_types_are_read_from_their_short_forms(text: str, value: Any) -> None:
    assert load(text, type(value)).message == value


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("yesterday", Timestamp, "a time such as"),
        ("aGk==", BytesValue, "bytes in base64"),
        ("a b=", BytesValue, "bytes in base64"),
        ("'****'", BytesValue, "bytes in base64"),
        ("é", BytesValue, "bytes in base64"),
        ("9223372036854775808", Int64Value, "a whole number from -9223372036854775808"),
        ("1e39", FloatValue, "a number within the range of a 32-bit float"),
        (".inf", FloatValue, "a number"),
        ("'" + "9" * 5000 + "'", Int64Value, "a whole number"),
        ("'" + "9" * 5000 + "'", FloatValue, "a number"),
        ("'1" + "0" * 395 + "'", Int64Value, "a whole number"),
        ("[1]", Struct, "a mapping"),
    ],
)
def test_value_out_of_its_type_is_refused(text: str, kind: Any, expected: str) -> None:
    assert f"expected {expected}" in error(text, kind)


def test_reading_agrees_with_protobuf_on_its_own_json() -> None:
    written = {
        "name": "a",
        "type": "EDS",
        "connectTimeout": "0.250s",
        "perConnectionBufferLimitBytes": 7,
        "edsClusterConfig": {"serviceName": "s", "edsConfig": {"ads": {}, "resourceApiVersion": "V3"}},
        "metadata": {"filterMetadata": {"envoy.lb": {"a": [1, "b", {"c": None}], "d": True}}},
        "circuitBreakers": {"thresholds": [{"priority": "HIGH", "maxConnections": 3, "retryBudget": {}}]},
        "transportSocket": {
            "name": "raw",
            "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
        },
    }
    messages.message_class("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    expected = ParseDict(written, Cluster())
    assert load(json.dumps(written), Cluster).message == expected


def test_overlay_replaces_fields_and_lengthens_lists() -> None:
    base = load("name: a\nfilters: [{name: x}]\nconnect_timeout: 1s\nmetadata: {filter_metadata: {a: {}, b: {}}}",
                Cluster, name="base")  # fmt: skip
    over = load("connect_timeout: {nanos: 5}\nfilters:\n- {name: z}\nmetadata: {filter_metadata: {b: {c: 1}}}",
                Cluster, name="over")  # fmt: skip
    both = merge(base, over)
    assert [item.name for item in both.message.filters] == ["x", "z"]
    assert both.message.name == "a"
    assert base.message.connect_timeout == Duration(seconds=1)
    places = {
        ("name",): "base:1:7",
        ("filters", 0, "name"): "base:2:18",
        ("filters", 1, "name"): "over:3:10",
        ("connect_timeout",): "over:1:1",
        ("metadata", "filter_metadata", "a"): "base:4:30",
        ("metadata", "filter_metadata", "b", "c"): "over:4:37",
    }
    assert {path: str(both.positions.locate(path)) for path in places} == places


def test_overlay_replaces_an_any_whole() -> None:
    router = "transport_socket: {typed_config: {'@type': x/envoy.extensions.filters.http.router.v3.Router%s}}"
    base, over = load(router % ", start_child_span: y", Cluster, name="base"), load(router % "", Cluster, name="over")
    both = merge(base, over)
    assert both.positions.locate(("transport_socket", "typed_config", "start_child_span")).file == "over"


def test_syntax_error_is_raised_like_all_others() -> None:
    assert error("a: [").startswith("a.yaml:1:5: YAML syntax error")
    with pytest.raises(ConfigErrors, match="cannot read"):
        load(Path("absent.yaml"), Cluster)


def test_suggestion_ignores_case_and_far_names() -> None:
    assert did_you_mean("autO1", ["AUTO", "HTTP1"]) == "did you mean 'AUTO'"
    assert did_you_mean("zzz", ["AUTO", "HTTP1"]) == ""


def test_loading_imports_only_what_the_configuration_names(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(EDGE)
    script = (
        "import pathlib, sys\n"
        "import plait.xds.parse as p\n"
        "assert not any(m.startswith('envoy') for m in sys.modules)\n"
        "from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap\n"
        f"p.load(pathlib.Path({str(path)!r}), Bootstrap)\n"
        "print(sum(m.endswith('_pb2') for m in sys.modules), 'grpc' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, grpc = done.stdout.split()
    assert int(count) < 150  # of more than six hundred
    assert grpc == "False"
