"""What a route does: RouteAction, RedirectAction, DirectResponseAction and RetryPolicy of envoy.config.route.v3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.config import (
    DirectResponse,
    ForwardAction,
    HashPolicy,
    MirrorPolicy,
    RedirectAction,
    RegexRewrite,
    RetryPolicy,
    WeightedCluster,
)
from plait.xds.positions import Where
from plait.xds.translate.headers import header_ops
from plait.xds.translate.values import (
    MILLION,
    data_source,
    duration_s,
    runtime_fraction,
    seconds,
    substitution,
    wrapped,
)

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_FORWARD = frozenset(
    (
        "cluster", "cluster_header", "weighted_clusters", "cluster_not_found_response_code", "prefix_rewrite",
        "regex_rewrite", "host_rewrite_literal", "auto_host_rewrite", "host_rewrite_header", "append_x_forwarded_host",
        "timeout", "idle_timeout", "retry_policy", "request_mirror_policies", "hash_policy", "upgrade_configs",
        "max_stream_duration", "max_grpc_timeout", "grpc_timeout_offset",
    )
)  # fmt: skip
_SHARE = frozenset(
    (
        "name", "weight", "request_headers_to_add", "request_headers_to_remove", "response_headers_to_add",
        "response_headers_to_remove", "typed_per_filter_config",
    )
)  # fmt: skip
_RETRY = frozenset(
    (
        "retry_on", "num_retries", "per_try_timeout", "retry_host_predicate", "host_selection_retry_max_attempts",
        "retriable_status_codes", "retry_back_off",
    )
)  # fmt: skip
_NOT_FOUND_STATUS = {0: 503, 1: 404, 2: 500}
_REDIRECT_STATUS = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}
_PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
_WEIGHTS = (1 << 32) - 1


def forward(message: Any, where: Where, translator: Translator, check_clusters: bool = True) -> ForwardAction:
    """A RouteAction."""
    translator.only(message, where, _FORWARD)
    kind = message.WhichOneof("cluster_specifier")
    if kind is None:
        raise where.error("the route has no cluster", expected="one of cluster, cluster_header, weighted_clusters")
    if kind in ("cluster", "cluster_header") and not getattr(message, kind):
        raise (where / kind).error(f"{kind} is empty", expected="a name")
    if kind == "cluster" and check_clusters:
        translator.cluster_reference(message.cluster, where / kind)
    weighted: tuple[WeightedCluster, ...] = ()
    if kind == "weighted_clusters":
        weighted = weighted_clusters(message.weighted_clusters, where / kind, translator, check_clusters)
    if message.prefix_rewrite and message.HasField("regex_rewrite"):
        raise (where / "regex_rewrite").error("'regex_rewrite' excludes 'prefix_rewrite'", expected="one of the two")
    host = message.WhichOneof("host_rewrite_specifier")
    duration, duration_at = message.max_stream_duration, where / "max_stream_duration"
    translator.only(duration, duration_at, handled={"grpc_timeout_header_max", "grpc_timeout_header_offset"})
    return ForwardAction(
        cluster=message.cluster,
        cluster_header=message.cluster_header,
        weighted=weighted,
        timeout_s=duration_s(message, "timeout", where, 15.0),
        idle_timeout_s=_optional_s(message, "idle_timeout", where),
        grpc_timeout_header_max_s=_optional_s(duration, "grpc_timeout_header_max", duration_at),
        grpc_timeout_header_offset_s=duration_s(duration, "grpc_timeout_header_offset", duration_at),
        max_grpc_timeout_s=_optional_s(message, "max_grpc_timeout", where),
        grpc_timeout_offset_s=duration_s(message, "grpc_timeout_offset", where),
        retry=retry_policy(message, where, translator),
        prefix_rewrite=message.prefix_rewrite,
        regex_rewrite=_regex_rewrite(message, where),
        host_rewrite=message.host_rewrite_literal,
        auto_host_rewrite=host == "auto_host_rewrite" and message.auto_host_rewrite.value,
        host_rewrite_header=message.host_rewrite_header,
        append_x_forwarded_host=message.append_x_forwarded_host,
        cluster_not_found_status=_NOT_FOUND_STATUS.get(message.cluster_not_found_response_code, 503),
        upgrades=_upgrades(message.upgrade_configs, where / "upgrade_configs", translator),
        mirrors=tuple(
            _mirror(one, where / "request_mirror_policies" / index, translator, check_clusters)
            for index, one in enumerate(message.request_mirror_policies)
        ),
        hash_policies=_hashes(message.hash_policy, where / "hash_policy", translator),
    )


def _optional_s(message: Any, field: str, where: Where) -> float | None:
    return duration_s(message, field, where) if message.HasField(field) else None


def weighted_clusters(
    message: Any, where: Where, translator: Translator, check_clusters: bool = True
) -> tuple[WeightedCluster, ...]:
    """A WeightedCluster: the shares."""
    translator.only(message, where, {"clusters"}, {"total_weight": "the shares are of the sum of the weights"})
    shares: list[WeightedCluster] = []
    for index, one in enumerate(message.clusters):
        at = where / "clusters" / index
        translator.only(one, at, _SHARE)
        if not one.name:
            raise at.error("the weighted cluster has no name", expected="the name of a cluster")
        if not one.HasField("weight"):
            raise at.error("the weighted cluster has no weight", expected="weight: 0 or more")
        if check_clusters:
            translator.cluster_reference(one.name, at / "name")
        settings = translator.filter_settings(one.typed_per_filter_config, at / "typed_per_filter_config")
        shares.append(
            WeightedCluster(one.name, one.weight.value, header_ops(one, at, translator.check_format), settings)
        )
    total = sum(share.weight for share in shares)
    if not 0 < total <= _WEIGHTS:
        raise (where / "clusters").error(f"the sum of the weights is {total}", expected=f"1 to {_WEIGHTS}")
    return tuple(shares)


def retry_policy(message: Any, where: Where, translator: Translator) -> RetryPolicy | None:
    """The ``retry_policy`` of a route or virtual host."""
    if not message.HasField("retry_policy"):
        return None
    policy, at = message.retry_policy, where / "retry_policy"
    translator.only(policy, at, _RETRY)
    base, longest = back_off(policy, at)
    return RetryPolicy(
        retry_on=tuple(word.strip() for word in policy.retry_on.split(",") if word.strip()),
        num_retries=wrapped(policy, "num_retries", 1),
        per_try_timeout_s=duration_s(policy, "per_try_timeout", at),
        retriable_status_codes=tuple(policy.retriable_status_codes),
        base_interval_s=base,
        max_interval_s=longest,
        previous_hosts=previous_hosts(policy.retry_host_predicate, at / "retry_host_predicate"),
        host_selection_retry_max_attempts=policy.host_selection_retry_max_attempts or 1,
    )


def previous_hosts(messages: Any, where: Where) -> bool:
    """A list of retry host predicates: whether hosts that failed are avoided, which is the only one there is."""
    for index, predicate in enumerate(messages):
        if predicate.name != _PREVIOUS_HOSTS:
            what = f"retry host predicate {predicate.name!r} is not supported yet by plait"
            raise (where / index).error(what, expected=_PREVIOUS_HOSTS)
    return bool(messages)


def back_off(policy: Any, where: Where) -> tuple[float, float]:
    """The ``retry_back_off`` of a retry policy: the base interval and the longest one, in seconds."""
    if not policy.HasField("retry_back_off"):
        return 0.025, 0.25
    message, inside = policy.retry_back_off, where / "retry_back_off"
    if not message.HasField("base_interval"):
        raise inside.error("retry_back_off has no base_interval", expected="base_interval")
    base = duration_s(message, "base_interval", inside, positive=True)
    longest = duration_s(message, "max_interval", inside, base * 10, positive=True)
    if longest < base:
        what = f"max_interval is {longest:g}s"
        raise (inside / "max_interval").error(what, expected=f"at least base_interval, {base:g}s")
    return base, longest


def _regex_rewrite(message: Any, where: Where) -> RegexRewrite | None:
    if not message.HasField("regex_rewrite"):
        return None
    return RegexRewrite(*substitution(message.regex_rewrite, where / "regex_rewrite"))


def _upgrades(messages: Any, where: Where, translator: Translator) -> dict[str, bool]:
    upgrades: dict[str, bool] = {}
    for index, one in enumerate(messages):
        at = where / index
        translator.only(one, at, handled={"upgrade_type", "enabled"})
        name = one.upgrade_type.lower()
        if name in upgrades:
            raise (at / "upgrade_type").error(f"upgrade {one.upgrade_type!r} is there twice", expected="each once")
        upgrades[name] = wrapped(one, "enabled", True)
    return upgrades


def _mirror(message: Any, where: Where, translator: Translator, check_clusters: bool) -> MirrorPolicy:
    translator.only(
        message, where, handled={"cluster", "runtime_fraction"},
        no_effect={"trace_sampled": "there is no tracing yet"},
    )  # fmt: skip
    if not message.cluster:
        raise where.error("the mirror has no cluster", expected="the name of a cluster")
    if check_clusters:
        translator.cluster_reference(message.cluster, where / "cluster")
    fraction = MILLION
    if message.HasField("runtime_fraction"):
        fraction = runtime_fraction(message.runtime_fraction, where / "runtime_fraction")
    return MirrorPolicy(message.cluster, fraction)


def _hashes(messages: Any, where: Where, translator: Translator) -> tuple[HashPolicy, ...]:
    found = (_hash(message, where / index, translator) for index, message in enumerate(messages))
    return tuple(policy for policy in found if policy is not None)


def _hash(message: Any, where: Where, translator: Translator) -> HashPolicy | None:
    kind = message.WhichOneof("policy_specifier")
    terminal = message.terminal
    if kind == "header":
        translator.only(message.header, where / kind, handled={"header_name"})
        return HashPolicy(kind, message.header.header_name, terminal)
    if kind == "cookie":
        cookie = message.cookie
        translator.only(cookie, where / kind, handled={"name", "ttl"})
        return HashPolicy(kind, cookie.name, terminal, seconds(cookie.ttl))
    if kind == "query_parameter":
        return HashPolicy(kind, message.query_parameter.name, terminal)
    if kind == "connection_properties":
        return HashPolicy("source_ip", "", terminal) if message.connection_properties.source_ip else None
    if kind == "filter_state":
        raise (where / kind).error(f"field {kind!r} is not supported yet by plait")
    raise where.error("the hash policy is empty", "one of header, cookie, query_parameter, connection_properties")


def redirect(message: Any, where: Where, translator: Translator) -> RedirectAction:
    """A RedirectAction."""
    handled = {field.name for field in message.DESCRIPTOR.fields}
    translator.only(message, where, handled)
    if message.port_redirect > 65_535:
        raise (where / "port_redirect").error(f"port_redirect is {message.port_redirect}", expected="at most 65535")
    status = _REDIRECT_STATUS.get(message.response_code)
    if status is None:
        expected = "one of MOVED_PERMANENTLY, FOUND, SEE_OTHER, TEMPORARY_REDIRECT, PERMANENT_REDIRECT"
        raise (where / "response_code").error(f"response_code is {message.response_code}", expected=expected)
    return RedirectAction(
        status=status,
        https=message.https_redirect,
        scheme=message.scheme_redirect,
        host=message.host_redirect,
        port=message.port_redirect,
        path=message.path_redirect,
        prefix_rewrite=message.prefix_rewrite,
        regex_rewrite=_regex_rewrite(message, where),
        strip_query=message.strip_query,
    )


def direct_response(message: Any, where: Where, translator: Translator, body_limit: int) -> DirectResponse:
    """A DirectResponseAction, its body read now."""
    translator.only(message, where, handled={"status", "body"})
    if not 200 <= message.status <= 599:
        raise (where / "status").error(f"the status is {message.status}", expected="200 to 599")
    body = data_source(message.body, where / "body") if message.HasField("body") else b""
    if len(body) > body_limit:
        what = f"the body has {len(body)} bytes"
        raise (where / "body").error(what, f"at most {body_limit}", "max_direct_response_body_size_bytes allows more")
    return DirectResponse(message.status, body)
