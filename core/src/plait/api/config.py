"""The configuration, frozen: what the translation makes of Envoy's messages and everything else reads.

Durations are seconds (float, 0 = none unless said otherwise), sizes bytes. Names and meanings are those of Envoy's v3
API; each class names its message. Objects are immutable, compare by value and pickle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from plait.api.message import Request


@attrs.frozen
class Extension:
    """A plugin's part of the configuration: ``type`` is the registered type, ``name`` what this instance is called.

    ``plugin`` is the entry point (``filters:fault``) that answers for it, so that a worker imports just that.
    """

    name: str
    type: str
    settings: object = None
    plugin: str = ""


# addresses and listeners (envoy.config.core.v3.Address, envoy.config.listener.v3)


@attrs.frozen
class Address:
    """``host:port``, or a unix socket's ``path``."""

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = 0
    udp: bool = False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class FilterChainMatch:
    """envoy.config.listener.v3.FilterChainMatch; empty fields match everything. Prefixes are CIDR text."""

    destination_port: int = 0
    prefix_ranges: tuple[str, ...] = ()
    source_prefix_ranges: tuple[str, ...] = ()
    source_ports: tuple[int, ...] = ()
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()


@attrs.frozen
class FilterChain:
    """envoy.config.listener.v3.FilterChain; the last of ``filters`` is the terminal one."""

    name: str = ""
    match: FilterChainMatch = FilterChainMatch()
    filters: tuple[Extension, ...] = ()
    transport_socket: Extension | None = None
    transport_socket_connect_timeout_s: float = 15.0


@attrs.frozen
class Listener:
    """envoy.config.listener.v3.Listener. ``udp`` is the terminal filter of a UDP listener."""

    name: str
    address: Address
    filter_chains: tuple[FilterChain, ...] = ()
    default_filter_chain: FilterChain | None = None
    listener_filters: tuple[Extension, ...] = ()
    listener_filters_timeout_s: float = 15.0
    continue_on_listener_filters_timeout: bool = False
    udp: Extension | None = None
    access_log: tuple[Extension, ...] = ()
    per_connection_buffer_limit_bytes: int = 1 << 20
    stat_prefix: str = ""
    tcp_backlog_size: int = 1024
    bind_to_port: bool = True
    traffic_direction: str = ""


# clusters and endpoints (envoy.config.cluster.v3, envoy.config.endpoint.v3)


@attrs.frozen
class Endpoint:
    """One instance of a service. ``healthy`` is the configured or registered state, ``weight`` at least 1.

    ``health_check`` says whether active checks ask it; ``health_check_port`` (0: its own) and
    ``health_check_hostname`` (empty: what the check says) are where and under which name they do.
    """

    address: Address
    hostname: str = ""
    weight: int = 1
    healthy: bool = True
    priority: int = 0
    locality: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    health_check: bool = True
    health_check_port: int = 0
    health_check_hostname: str = ""


Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names and values of headers, in order."""


@attrs.frozen
class HttpHealthCheck:
    """envoy.config.core.v3.HealthCheck.HttpHealthCheck; statuses are ranges ``[start, end)``.

    ``fields`` are all headers of the request.
    """

    path: str
    host: str = ""
    method: str = "GET"
    protocol: str = "http1"
    expected_statuses: tuple[tuple[int, int], ...] = ((200, 201),)
    retriable_statuses: tuple[tuple[int, int], ...] = ()
    fields: Fields = ()


@attrs.frozen
class GrpcHealthCheck:
    """envoy.config.core.v3.HealthCheck.GrpcHealthCheck; an empty service asks about the server as a whole.

    ``fields`` are all headers of the request.
    """

    service_name: str = ""
    authority: str = ""
    fields: Fields = ()


@attrs.frozen
class TcpHealthCheck:
    """envoy.config.core.v3.HealthCheck.TcpHealthCheck; without ``receive`` a connection is enough."""

    send: bytes = b""
    receive: tuple[bytes, ...] = ()


@attrs.frozen
class HealthCheck:
    """envoy.config.core.v3.HealthCheck; intervals that were not given are those that Envoy takes for them.

    A port of 0 is the endpoint's own.
    """

    kind: HttpHealthCheck | GrpcHealthCheck | TcpHealthCheck
    timeout_s: float
    interval_s: float
    unhealthy_threshold: int
    healthy_threshold: int
    unhealthy_interval_s: float
    unhealthy_edge_interval_s: float
    healthy_edge_interval_s: float
    no_traffic_interval_s: float = 60.0
    no_traffic_healthy_interval_s: float = 60.0
    initial_jitter_s: float = 0.0
    interval_jitter_s: float = 0.0
    interval_jitter_percent: int = 0
    reuse_connection: bool = True
    alt_port: int = 0


@attrs.frozen
class Thresholds:
    """envoy.config.cluster.v3.CircuitBreakers.Thresholds of the default priority, with Envoy's defaults."""

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3


@attrs.frozen
class Cluster:
    """envoy.config.cluster.v3.Cluster.

    ``type`` is ``static``, ``strict_dns``, ``logical_dns`` or ``eds``; ``lb_policy`` ``round_robin``, ``random`` or
    ``least_request``. ``protocol`` names how to speak to it (empty: as the caller did) and ``protocol_options`` how.
    Where a smaller share of its hosts than ``panic_threshold`` is healthy, health is ignored.
    """

    name: str
    type: str = "static"
    lb_policy: str = "round_robin"
    lb_choice_count: int = 2
    connect_timeout_s: float = 5.0
    endpoints: tuple[Endpoint, ...] = ()
    thresholds: Thresholds = Thresholds()
    dns_refresh_s: float = 5.0
    dns_lookup_family: str = "auto"
    eds_service_name: str = ""
    max_requests_per_connection: int = 0
    per_connection_buffer_limit_bytes: int = 1 << 20
    idle_timeout_s: float = 3600.0
    protocol: str = ""
    protocol_options: object = None
    transport_socket: Extension | None = None
    alt_stat_name: str = ""
    health_check: HealthCheck | None = None
    panic_threshold: float = 0.5


@attrs.frozen
class Endpoints:
    """envoy.config.endpoint.v3.ClusterLoadAssignment: the instances of a cluster whose ``type`` is ``eds``."""

    cluster: str
    endpoints: tuple[Endpoint, ...] = ()


# matchers (envoy.type.matcher.v3, envoy.config.route.v3.HeaderMatcher)


@attrs.frozen
class StringMatcher:
    """One of exact, prefix, suffix, contains or safe_regex (``kind``), with its ``value``."""

    kind: str
    value: str
    ignore_case: bool = False


@attrs.frozen
class HeaderMatcher:
    """``value`` None asks for presence; ``range`` for a whole number in [start, end)."""

    name: str
    value: StringMatcher | None = None
    range: tuple[int, int] | None = None
    present: bool = True
    invert: bool = False
    treat_missing_as_empty: bool = False


@attrs.frozen
class QueryMatcher:
    """A parameter of the query; ``value`` None asks for presence."""

    name: str
    value: StringMatcher | None = None
    present: bool = True


# matcher trees (xds.type.matcher.v3.Matcher)


@attrs.frozen
class MatchInput:
    """What of a request is looked at: its ``service``, ``path`` or ``method``, or the ``header`` called ``name``.

    ``service`` is HTTP's host. In an RPC, ``method`` is the method's name and ``path`` the service again.
    """

    kind: str
    name: str = ""


@attrs.frozen
class InputMatches:
    """Whether an input matches; one that is missing does not, whatever is asked."""

    input: MatchInput
    value: StringMatcher


@attrs.frozen
class AnyOf:
    """Whether one of the conditions holds."""

    conditions: tuple[Condition, ...]


@attrs.frozen
class AllOf:
    """Whether all of the conditions hold."""

    conditions: tuple[Condition, ...]


@attrs.frozen
class Not:
    """Whether the condition does not hold."""

    condition: Condition


class CustomCondition(ABC):
    """A condition that a plugin brings: a frozen attrs class of its own, compiled once for each table."""

    __slots__ = ()

    @abstractmethod
    def compile(self) -> Callable[[Request], bool]:
        """A call that says whether a request meets the condition; raises ConfigError where it cannot be made."""


Condition: TypeAlias = InputMatches | AnyOf | AllOf | Not | CustomCondition


@attrs.frozen
class OnMatch:
    """What follows: an ``action`` (a ``Route`` where routes are looked for), or the tree that is asked next."""

    action: object = None
    tree: MatcherTree | None = None


@attrs.frozen
class MatcherList:
    """The first condition that holds decides, unless the tree behind it finds nothing: then the next ones are asked."""

    entries: tuple[tuple[Condition, OnMatch], ...]
    on_no_match: OnMatch | None = None


@attrs.frozen
class MatcherMap:
    """Looks the input up in ``entries``: as it is, or (``prefixes``) the longest of them that it begins with.

    Where the tree behind a prefix finds nothing, the next shorter one is asked.
    """

    input: MatchInput
    entries: tuple[tuple[str, OnMatch], ...]
    prefixes: bool = False
    on_no_match: OnMatch | None = None


MatcherTree: TypeAlias = MatcherList | MatcherMap


# routes (envoy.config.route.v3)


@attrs.frozen
class HeaderOp:
    """One header operation; ``action`` is HeaderValueOption.HeaderAppendAction in lower case."""

    name: str
    value: str = ""
    action: str = "append_if_exists_or_add"
    keep_empty: bool = False


@attrs.frozen
class HeaderOps:
    """What to add to and remove from requests and responses."""

    request_add: tuple[HeaderOp, ...] = ()
    request_remove: tuple[str, ...] = ()
    response_add: tuple[HeaderOp, ...] = ()
    response_remove: tuple[str, ...] = ()


@attrs.frozen
class RouteMatch:
    """``kind`` is prefix, path, safe_regex, path_separated_prefix or connect; ``runtime_fraction`` in millionths."""

    kind: str = "prefix"
    value: str = "/"
    case_sensitive: bool = True
    headers: tuple[HeaderMatcher, ...] = ()
    query: tuple[QueryMatcher, ...] = ()
    runtime_fraction: int = 1_000_000
    grpc: bool = False


@attrs.frozen
class RetryPolicy:
    """envoy.config.route.v3.RetryPolicy. ``retry_on`` are Envoy's words (``5xx``, ``connect-failure`` …)."""

    retry_on: tuple[str, ...] = ()
    num_retries: int = 1
    per_try_timeout_s: float = 0.0
    retriable_status_codes: tuple[int, ...] = ()
    base_interval_s: float = 0.025
    max_interval_s: float = 0.25
    previous_hosts: bool = False
    host_selection_retry_max_attempts: int = 1


@attrs.frozen
class WeightedCluster:
    """One share of the traffic of a route."""

    name: str
    weight: int
    headers: HeaderOps = HeaderOps()
    filter_settings: Mapping[str, object] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class RegexRewrite:
    """envoy.type.matcher.v3.RegexMatchAndSubstitute (RE2 syntax)."""

    pattern: str
    substitution: str


@attrs.frozen
class MirrorPolicy:
    """Send a copy to ``cluster`` and forget its answer; ``fraction`` in millionths."""

    cluster: str
    fraction: int = 1_000_000


@attrs.frozen
class HashPolicy:
    """What a request's hash is made of: ``header``, ``cookie``, ``source_ip`` or ``query_parameter``."""

    kind: str
    name: str = ""
    terminal: bool = False
    ttl_s: float = 0.0


@attrs.frozen
class ForwardAction:
    """envoy.config.route.v3.RouteAction: exactly one of ``cluster``, ``cluster_header`` and ``weighted``.

    ``timeout_s`` and ``idle_timeout_s`` 0 mean no limit; ``idle_timeout_s`` None takes that of the connection manager.
    ``grpc_timeout_header_max_s`` (of MaxStreamDuration) and the older ``max_grpc_timeout_s`` let callers of gRPC say
    with ``grpc-timeout`` how long they wait, up to so many seconds (0: as long as they like); None ignores the header.
    """

    cluster: str = ""
    cluster_header: str = ""
    weighted: tuple[WeightedCluster, ...] = ()
    timeout_s: float = 15.0
    idle_timeout_s: float | None = None
    grpc_timeout_header_max_s: float | None = None
    grpc_timeout_header_offset_s: float = 0.0
    max_grpc_timeout_s: float | None = None
    grpc_timeout_offset_s: float = 0.0
    retry: RetryPolicy | None = None
    prefix_rewrite: str = ""
    regex_rewrite: RegexRewrite | None = None
    host_rewrite: str = ""
    auto_host_rewrite: bool = False
    host_rewrite_header: str = ""
    append_x_forwarded_host: bool = False
    cluster_not_found_status: int = 503
    upgrades: Mapping[str, bool] = attrs.field(factory=dict, hash=False)
    mirrors: tuple[MirrorPolicy, ...] = ()
    hash_policies: tuple[HashPolicy, ...] = ()


@attrs.frozen
class RedirectAction:
    """envoy.config.route.v3.RedirectAction."""

    status: int = 301
    https: bool = False
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix_rewrite: str = ""
    regex_rewrite: RegexRewrite | None = None
    strip_query: bool = False


@attrs.frozen
class DirectResponse:
    """envoy.config.route.v3.DirectResponseAction."""

    status: int
    body: bytes = b""


@attrs.frozen
class Route:
    """envoy.config.route.v3.Route. ``filter_settings`` maps a filter's name to its settings here."""

    match: RouteMatch
    action: ForwardAction | RedirectAction | DirectResponse
    name: str = ""
    headers: HeaderOps = HeaderOps()
    filter_settings: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    metadata: Mapping[str, object] = attrs.field(factory=dict, hash=False)


@attrs.frozen
class VirtualHost:
    """envoy.config.route.v3.VirtualHost. With a ``matcher``, its actions are the routes, and ``routes`` are none."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    headers: HeaderOps = HeaderOps()
    retry: RetryPolicy | None = None
    require_tls: str = ""
    filter_settings: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    per_request_buffer_limit_bytes: int = 0
    include_request_attempt_count: bool = False
    matcher: MatcherTree | None = None


@attrs.frozen
class RouteConfiguration:
    """envoy.config.route.v3.RouteConfiguration.

    ``any_case`` says that upper and lower case are one in domains, as in HTTP's; services of an RPC are told apart.
    """

    name: str
    virtual_hosts: tuple[VirtualHost, ...] = ()
    headers: HeaderOps = HeaderOps()
    filter_settings: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    ignore_port_in_host: bool = False
    any_case: bool = True


# the whole


@attrs.frozen
class Node:
    """envoy.config.core.v3.Node: who this sidecar says it is."""

    id: str = ""
    cluster: str = ""
    metadata: Mapping[str, object] = attrs.field(factory=dict, hash=False)
    locality: str = ""


@attrs.frozen
class Bootstrap:
    """What a process starts with; the resources in it go through the config store like any later ones."""

    node: Node = Node()
    admin: Address | None = None
    listeners: tuple[Listener, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    routes: tuple[RouteConfiguration, ...] = ()
    registries: tuple[Extension, ...] = ()
    stats_sinks: tuple[Extension, ...] = ()
    stats_flush_interval_s: float = 5.0
