"""envoy.config.bootstrap.v3.Bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from plait.api.config import Address, Bootstrap, Cluster, Extension, Listener, Node
from plait.api.extension import RegistryType, StatsSinkType
from plait.xds.positions import Where
from plait.xds.translate.address import address
from plait.xds.translate.cluster import cluster
from plait.xds.translate.endpoint import locality_text
from plait.xds.translate.listener import check_addresses, listener
from plait.xds.translate.values import duration_s, plain

if TYPE_CHECKING:
    from plait.xds.translator import Translator

T = TypeVar("T", Listener, Cluster)

_HANDLED = frozenset(
    ("node", "static_resources", "admin", "stats_sinks", "stats_flush_interval", "bootstrap_extensions")
)
_NO_EFFECT = {
    "application_log_config": "use --log-level",
    "default_regex_engine": "expressions are RE2's",
    "deferred_stat_options": "statistics are made when they are first needed",
    "enable_dispatcher_stats": "those statistics do not exist",
    "flags_path": "there are no runtime flags",
    "grpc_async_client_manager_config": "there are no gRPC clients yet",
    "layered_runtime": "runtime keys keep the defaults that are written beside them",
    "memory_allocator_manager": "Python's allocator has no such settings",
    "node_context_params": "there is no xDS yet",
    "stats_config": "statistics have no tags",
    "stats_server_version_override": "the version shown is that of plait",
    "watchdog": "the supervisor replaces workers that die",
    "watchdogs": "the supervisor replaces workers that die",
}
_ADMIN_NO_EFFECT = {
    "access_log": "requests to the admin server are not logged",
    "access_log_path": "requests to the admin server are not logged",
    "profile_path": "there is no profiler in the admin server",
    "ignore_global_conn_limit": "there is no such limit",
}


def bootstrap(
    message: Any, where: Where, translator: Translator, *, service_cluster: str = "", service_node: str = ""
) -> Bootstrap:
    """The whole configuration; the caller then asks ``translator.raise_all()``."""
    translator.only(message, where, _HANDLED | {"dynamic_resources"}, _NO_EFFECT)
    if message.HasField("dynamic_resources"):
        at = where / "dynamic_resources"
        what, hint = "field 'dynamic_resources' is not supported yet by plait", "xDS comes in a later version"
        translator.report(at.error(what, "static_resources", hint))
    static, at = message.static_resources, where / "static_resources"
    translator.only(static, at, handled={"listeners", "clusters"})
    registries = _registries(message.bootstrap_extensions, where / "bootstrap_extensions", translator)
    clusters = [made for made, _ in _each(static.clusters, at / "clusters", cluster, "cluster", translator)]
    listeners = _each(static.listeners, at / "listeners", listener, "listener", translator)
    check_addresses(listeners, translator)
    if not message.bootstrap_extensions:  # what a registry knows becomes clusters later
        translator.check_cluster_references({one.name for one in static.clusters})
        translator.check_endpoint_sources()
    return Bootstrap(
        node=_node(message.node, service_cluster, service_node),
        admin=_admin(message, where, translator),
        listeners=tuple(made for made, _ in listeners),
        clusters=tuple(clusters),
        routes=tuple(translator.routes),
        registries=registries,
        stats_sinks=_sinks(message.stats_sinks, where / "stats_sinks", translator),
        stats_flush_interval_s=_flush_interval(message, where, translator),
    )


def _each(
    messages: Iterable[Any], where: Where, translate: Callable[[Any, Where, Translator], T], word: str,
    translator: Translator,
) -> list[tuple[T, Where]]:  # fmt: skip
    """Translate all of a kind, and report names that are there twice."""
    found: list[tuple[T, Where]] = []
    names: dict[str, Where] = {}
    for index, message in enumerate(messages):
        at = where / index
        first = names.setdefault(message.name, at)
        if first is not at and message.name:
            hint = f"first given at {(first / 'name').position}"
            what = f"{word} {message.name!r} is there twice"
            translator.report((at / "name").error(what, "a name of its own", hint))
        with translator.collect():
            found.append((translate(message, at, translator), at))
    return found


def _registries(messages: Iterable[Any], where: Where, translator: Translator) -> tuple[Extension, ...]:
    found = []
    for index, message in enumerate(messages):
        with translator.collect():
            at = where / index / "typed_config"
            found.append(translator.extension(RegistryType, message.name, message.typed_config, at))
    return tuple(found)


def _sinks(messages: Iterable[Any], where: Where, translator: Translator) -> tuple[Extension, ...]:
    found = []
    for index, message in enumerate(messages):
        with translator.collect():
            at = where / index / "typed_config"
            found.append(translator.extension(StatsSinkType, message.name, message.typed_config, at))
    return tuple(found)


def _node(message: Any, service_cluster: str, service_node: str) -> Node:
    """Who we are; what the command line says goes before what the file says. Other fields are about Envoy's build."""
    return Node(
        id=service_node or message.id,
        cluster=service_cluster or message.cluster,
        metadata=plain(message.metadata),
        locality=locality_text(message.locality),
    )


def _admin(message: Any, where: Where, translator: Translator) -> Address | None:
    if not message.HasField("admin"):
        return None
    at = where / "admin"
    translator.only(message.admin, at, handled={"address"}, no_effect=_ADMIN_NO_EFFECT)
    if not message.admin.HasField("address"):
        return None
    with translator.collect():
        return address(message.admin.address, at / "address", translator, ip="to listen on", optional=True)
    return None


def _flush_interval(message: Any, where: Where, translator: Translator) -> float:
    with translator.collect():
        interval = duration_s(message, "stats_flush_interval", where, 5.0, positive=True)
        if not 0.001 <= interval < 300:
            at = where / "stats_flush_interval"
            raise at.error(f"stats_flush_interval is {interval:g}s", expected="at least 0.001s and less than 300s")
        return interval
    return 5.0
