"""envoy.config.endpoint.v3.ClusterLoadAssignment. Locality weights have no effect without a policy that reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plait.api.config import Endpoint, Endpoints
from plait.xds.positions import Where
from plait.xds.translate.address import address
from plait.xds.translate.values import enum_name, plain, wrapped

if TYPE_CHECKING:
    from plait.xds.translator import Translator

_LB_NAMESPACE = "envoy.lb"
_AVAILABLE = ("unknown", "healthy", "degraded")


def load_assignment(message: Any, where: Where, translator: Translator) -> Endpoints:
    """The endpoints of a cluster of type ``eds``."""
    return Endpoints(message.cluster_name, assignment(message, where, translator, names=False))


def assignment(message: Any, where: Where, translator: Translator, *, names: bool) -> tuple[Endpoint, ...]:
    """All endpoints, in order. ``names`` says that hosts may be names that DNS knows."""
    translator.only(message, where, handled={"cluster_name", "endpoints"})
    if not message.cluster_name:
        translator.report((where / "cluster_name").error("cluster_name is empty", expected="the name of the cluster"))
    endpoints: list[Endpoint] = []
    for index, group in enumerate(message.endpoints):
        at = where / "endpoints" / index
        translator.only(
            group, at, handled={"locality", "lb_endpoints", "load_balancing_weight", "priority"},
            no_effect={"metadata": "nothing reads it", "proximity": "nothing reads it"},
        )  # fmt: skip
        if group.priority > 128:
            translator.report((at / "priority").error(f"priority is {group.priority}", expected="0 to 128"))
        locality = locality_text(group.locality)
        for number, lb_endpoint in enumerate(group.lb_endpoints):
            with translator.collect():
                place = at / "lb_endpoints" / number
                endpoints.append(_endpoint(lb_endpoint, place, translator, locality, group.priority, names))
    return tuple(endpoints)


def locality_text(message: Any) -> str:
    """``region/zone/sub_zone``, without what is missing at its end."""
    return "/".join((message.region, message.zone, message.sub_zone)).rstrip("/")


def _endpoint(
    message: Any, where: Where, translator: Translator, locality: str, priority: int, names: bool
) -> Endpoint:
    translator.only(message, where, handled={"endpoint", "health_status", "metadata", "load_balancing_weight"})
    endpoint, at = message.endpoint, where / "endpoint"
    if not message.HasField("endpoint"):
        raise where.error("the endpoint is missing", expected="endpoint: {address: …}")
    translator.only(endpoint, at, handled={"address", "hostname", "health_check_config"})
    check, check_at = endpoint.health_check_config, at / "health_check_config"
    translator.only(check, check_at, handled={"port_value", "hostname", "disable_active_health_check"})
    if check.port_value > 65_535:
        raise (check_at / "port_value").error(f"port_value is {check.port_value}", expected="at most 65535")
    hint = "" if names else "in a STATIC or EDS cluster, a name in one of type STRICT_DNS or LOGICAL_DNS"
    made = address(endpoint.address, at / "address", translator, ip=hint)
    weight = wrapped(message, "load_balancing_weight", 1)
    if weight < 1:
        raise (where / "load_balancing_weight").error(f"the weight is {weight}", expected="at least 1")
    return Endpoint(
        address=made,
        hostname=endpoint.hostname,
        weight=weight,
        healthy=enum_name(message, "health_status") in _AVAILABLE,
        priority=priority,
        locality=locality,
        metadata=_metadata(message.metadata, where / "metadata", translator),
        health_check=not check.disable_active_health_check,
        health_check_port=check.port_value,
        health_check_hostname=check.hostname,
    )


def _metadata(message: Any, where: Where, translator: Translator) -> dict[str, str]:
    """Values as text; those outside ``envoy.lb`` under ``namespace.key``."""
    translator.only(message, where, handled={"filter_metadata"})
    found: dict[str, str] = {}
    for namespace in sorted(message.filter_metadata):
        for key, value in plain(message.filter_metadata[namespace]).items():
            name = key if namespace == _LB_NAMESPACE else f"{namespace}.{key}"
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found
