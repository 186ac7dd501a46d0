"""envoy.config.cluster.v3.Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import Cluster, Thresholds
from plait.api.extension import UpstreamTransportSocketType
from plait.xds import messages
from plait.xds.positions import Where
from plait.xds.translate.endpoint import assignment
from plait.xds.translate.health_check import health_check
from plait.xds.translate.transport_socket import transport_socket
from plait.xds.translate.upstream_http import UpstreamHttp, upstream_http
from plait.xds.translate.values import duration_s, enum_name, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_HANDLED = frozenset(
    (
        "name", "alt_stat_name", "type", "eds_cluster_config", "connect_timeout", "per_connection_buffer_limit_bytes",
        "lb_policy", "least_request_lb_config", "round_robin_lb_config", "load_balancing_policy", "load_assignment",
        "circuit_breakers", "max_requests_per_connection", "common_http_protocol_options", "http_protocol_options",
        "typed_extension_protocol_options", "dns_refresh_rate", "dns_lookup_family", "transport_socket",
        "health_checks", "common_lb_config",
    )
)  # fmt: skip
_NO_EFFECT = {
    "metadata": "nothing reads it",
    "upstream_connection_options": "the kernel's keepalive settings stay as they are",
    "respect_dns_ttl": "names are looked up again after dns_refresh_rate",
    "dns_failure_refresh_rate": "names are looked up again after dns_refresh_rate",
    "dns_jitter": "names are looked up again after dns_refresh_rate",
    "wait_for_warm_on_init": "a listener opens when the clusters are there",
    "cleanup_interval": "only ORIGINAL_DST clusters have it",
    "ignore_health_on_host_removal": "a host that is removed goes at once, whatever its health",
    "close_connections_on_host_health_failure": "connections to a host that fails end with their streams, or idle",
    "track_cluster_stats": "those statistics do not exist",
    "track_timeout_budgets": "those statistics do not exist",
}
_TYPES = ("static", "strict_dns", "logical_dns", "eds")
_POLICIES = ("round_robin", "least_request", "random")
_POLICY_PROTO = "envoy.extensions.load_balancing_policies."
_FAMILIES = ("auto", "v4_only", "v6_only")
IDLE_TIMEOUT_S = 3600.0


def cluster(message: Any, where: Where, translator: Translator) -> Cluster:
    """The cluster; what is wrong is reported or raised."""
    translator.only(message, where, _HANDLED, _NO_EFFECT)
    if not message.name:
        raise (where / "name").error("the cluster has no name", expected="a name of its own")
    kind = _type(message, where)
    policy, choices = _policy(message, where, translator)
    http = _http(message, where, translator)
    limit = wrapped(message, "per_connection_buffer_limit_bytes", 1 << 20)
    if limit < 1:
        at = where / "per_connection_buffer_limit_bytes"
        translator.report(at.error(f"per_connection_buffer_limit_bytes is {limit}", expected="at least 1"))
    return Cluster(
        name=message.name,
        type=kind,
        lb_policy=policy,
        lb_choice_count=choices,
        connect_timeout_s=duration_s(message, "connect_timeout", where, 5.0, positive=True),
        endpoints=_endpoints(message, kind, where, translator),
        thresholds=_thresholds(message.circuit_breakers, where / "circuit_breakers", translator),
        dns_refresh_s=duration_s(message, "dns_refresh_rate", where, 5.0, positive=True),
        dns_lookup_family=_family(message, where),
        eds_service_name=_eds(message, kind, where, translator),
        max_requests_per_connection=http.max_requests_per_connection,
        per_connection_buffer_limit_bytes=limit,
        idle_timeout_s=http.idle_timeout_s,
        protocol=http.protocol,
        protocol_options=http.options,
        transport_socket=transport_socket(message, UpstreamTransportSocketType, where, translator),
        alt_stat_name=message.alt_stat_name,
        health_check=health_check(message.health_checks, where / "health_checks", translator, http.protocol),
        panic_threshold=_panic_threshold(message.common_lb_config, where / "common_lb_config", translator),
    )


def _type(message: Any, where: Where) -> str:
    if message.WhichOneof("cluster_discovery_type") == "cluster_type":
        return "static"  # reported as a field that is not supported
    kind = enum_name(message, "type")
    if kind not in _TYPES:
        raise (where / "type").error(
            f"cluster type {kind.upper()} is not supported yet by plait",
            expected=f"one of {', '.join(name.upper() for name in _TYPES)}",
        )
    return kind


def _family(message: Any, where: Where) -> str:
    family = enum_name(message, "dns_lookup_family")
    if family not in _FAMILIES:
        raise (where / "dns_lookup_family").error(
            f"dns_lookup_family {family.upper()} is not supported yet by plait",
            expected=f"one of {', '.join(name.upper() for name in _FAMILIES)}",
        )
    return family


def _policy(message: Any, where: Where, translator: Translator) -> tuple[str, int]:
    """The name of the balancer, and how many hosts least_request looks at."""
    if message.HasField("load_balancing_policy"):
        return _typed_policy(message.load_balancing_policy, where / "load_balancing_policy", translator)
    policy = enum_name(message, "lb_policy")
    if policy not in _POLICIES:
        raise (where / "lb_policy").error(
            f"lb_policy {policy.upper()} is not supported yet by plait",
            expected=f"one of {', '.join(name.upper() for name in _POLICIES)}",
        )
    translator.only(message.round_robin_lb_config, where / "round_robin_lb_config", handled=())
    return policy, _choices(message.least_request_lb_config, where / "least_request_lb_config", translator)


def _choices(message: Any, where: Where, translator: Translator) -> int:
    translator.only(message, where, handled={"choice_count"})
    count = int(wrapped(message, "choice_count", 2))
    if count < 2:
        raise (where / "choice_count").error(f"choice_count is {count}", expected="at least 2")
    return count


def _panic_threshold(message: Any, where: Where, translator: Translator) -> float:
    """A share of the hosts; 0 never ignores health."""
    translator.only(message, where, handled={"healthy_panic_threshold"})
    if not message.HasField("healthy_panic_threshold"):
        return 0.5
    percent = float(message.healthy_panic_threshold.value)
    if not 0 <= percent <= 100:
        raise (where / "healthy_panic_threshold").error(f"{percent:g} is no percentage", expected="0 to 100")
    return percent / 100


def _typed_policy(message: Any, where: Where, translator: Translator) -> tuple[str, int]:
    """The first policy that is known here, as Envoy takes it."""
    for index, policy in enumerate(message.policies):
        extension = policy.typed_extension_config
        at = where / "policies" / index / "typed_extension_config" / "typed_config"
        full_name = messages.type_name(extension.typed_config.type_url)
        name = full_name.removeprefix(_POLICY_PROTO).partition(".")[0]
        if full_name.startswith(_POLICY_PROTO) and name in _POLICIES:
            config = messages.unpack(extension.typed_config)
            if name == "least_request":
                return name, _choices(config, at, translator)
            translator.only(config, at, handled=())
            return name, 2
    raise where.error(
        "none of the load balancing policies is supported yet by plait", expected=f"one of {', '.join(_POLICIES)}"
    )


def _endpoints(message: Any, kind: str, where: Where, translator: Translator) -> Any:
    at = where / "load_assignment"
    if kind == "eds":
        if message.HasField("load_assignment"):
            translator.report(
                at.error("an EDS cluster has a load_assignment", expected="endpoints from its source alone")
            )
        return ()
    if not message.HasField("load_assignment"):
        if kind == "logical_dns":
            raise where.error("the cluster has no load_assignment", expected="one endpoint")
        return ()
    endpoints = assignment(message.load_assignment, at, translator, names=kind != "static")
    if kind == "logical_dns" and len(endpoints) != 1:
        raise at.error(f"a LOGICAL_DNS cluster has {len(endpoints)} endpoints", expected="one")
    return endpoints


def _eds(message: Any, kind: str, where: Where, translator: Translator) -> str:
    at = where / "eds_cluster_config"
    if kind != "eds":
        if message.HasField("eds_cluster_config"):
            translator.report(at.error("eds_cluster_config is given for another type of cluster", expected="type: EDS"))
        return ""
    config = message.eds_cluster_config
    translator.only(config, at, handled={"eds_config", "service_name"})
    if config.HasField("eds_config"):
        handled = {"ads", "self", "resource_api_version", "initial_fetch_timeout"}
        translator.only(config.eds_config, at / "eds_config", handled=handled)
    translator.endpoints_wanted(where)
    return str(config.service_name)


def _thresholds(message: Any, where: Where, translator: Translator) -> Thresholds:
    """Those of the default priority: no request here has another."""
    translator.only(message, where, handled={"thresholds"})
    found = Thresholds()
    for index, limits in enumerate(message.thresholds):
        at = where / "thresholds" / index
        handled = {"priority", "max_connections", "max_pending_requests", "max_requests", "max_retries"}
        translator.only(limits, at, handled, {"track_remaining": "those statistics do not exist"})
        if limits.priority:
            translator.warn(at, "these thresholds have no effect: every request has the default priority")
            continue
        found = Thresholds(
            max_connections=wrapped(limits, "max_connections", 1024),
            max_pending_requests=wrapped(limits, "max_pending_requests", 1024),
            max_requests=wrapped(limits, "max_requests", 1024),
            max_retries=wrapped(limits, "max_retries", 3),
        )
    return found


def _http(message: Any, where: Where, translator: Translator) -> UpstreamHttp:
    """How to speak HTTP to it: from the typed options, or from the older fields of the cluster itself."""
    requests = wrapped(message, "max_requests_per_connection", 0)
    options = message.typed_extension_protocol_options
    if options:
        made = upstream_http(options, where / "typed_extension_protocol_options", translator)
        return made.with_requests(requests)
    common, at = message.common_http_protocol_options, where / "common_http_protocol_options"
    translator.only(common, at, handled={"idle_timeout", "max_requests_per_connection"})
    protocol, made_options = "", None
    if message.HasField("http_protocol_options"):
        protocol = "http1"
        fields = {"http_protocol_options": message.http_protocol_options}
        made_options = translator.protocol_options(protocol, where, fields)
    idle = duration_s(common, "idle_timeout", at, IDLE_TIMEOUT_S)
    return UpstreamHttp(protocol, made_options, idle, wrapped(common, "max_requests_per_connection", requests))
