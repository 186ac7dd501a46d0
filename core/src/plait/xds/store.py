"""The config store: every resource by type and name, which source it came from, and what each change alters.

Sources (the bootstrap file, registries, later ADS) say level by level what there is; the store merges them, works out
the difference to what is in force, and hands it out as an ``Update``. A change comes into force in two steps, so that
a broken one never does: ``set_source`` proposes it, then ``accept`` makes it the state or ``reject`` forgets it, keeps
the error for ``/config_dump`` and gives the update that undoes it where it was already applied.

Merging is deterministic: sources named in ``priority`` come first, the others by name; the first to name a listener,
cluster or route table wins. A cluster of type ``eds`` takes the endpoints called by its ``eds_service_name`` or name,
from a source that gives ``endpoints`` or else from all registries that have a service of that name together. A service
no cluster asks for becomes a cluster of its own. Nothing here does I/O, and nothing here knows protobuf.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import attrs

from plait.api.config import Cluster, Endpoint, Endpoints, Listener, RouteConfiguration
from plait.api.errors import ConfigError, PlaitError

KINDS = ("listeners", "clusters", "endpoints", "routes")


@attrs.frozen
class Resources:
    """All that one source says there is.

    ``endpoints`` answer clusters of type ``eds``. ``services`` are a registry's: they do the same, and become clusters
    where no cluster asks for them. ``version`` is the source's own name for this state.
    """

    listeners: tuple[Listener, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    endpoints: tuple[Endpoints, ...] = ()
    routes: tuple[RouteConfiguration, ...] = ()
    services: tuple[Endpoints, ...] = ()
    version: str = ""


@attrs.frozen
class Update:
    """One step from a configuration to the next, by name; it is applied as a whole or not at all.

    ``version`` grows with every update handed out. ``endpoints`` are by cluster, and come along whenever their cluster
    changes. A name is in a mapping or in its ``removed_…``, never in both.
    """

    version: int
    listeners: Mapping[str, Listener] = attrs.field(factory=dict)
    clusters: Mapping[str, Cluster] = attrs.field(factory=dict)
    endpoints: Mapping[str, Endpoints] = attrs.field(factory=dict)
    routes: Mapping[str, RouteConfiguration] = attrs.field(factory=dict)
    removed_listeners: tuple[str, ...] = ()
    removed_clusters: tuple[str, ...] = ()
    removed_endpoints: tuple[str, ...] = ()
    removed_routes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, kind) or getattr(self, "removed_" + kind) for kind in KINDS)

    def __str__(self) -> str:
        said = []
        for kind in KINDS:
            changed, removed = getattr(self, kind), getattr(self, "removed_" + kind)
            if changed or removed:
                said.append(f"{kind} +{len(changed)} -{len(removed)}")
        return f"version {self.version}: {', '.join(said) or 'nothing'}"


@attrs.frozen
class Failure:
    """Why the last try to change something was refused. ``at`` is unix time."""

    version: str
    at: float
    details: str


@attrs.frozen
class ResourceState:
    """A resource as ``/config_dump`` tells it. ``resource`` is None when all there ever was of it was refused."""

    name: str
    resource: Any
    source: str
    version: str
    updated: float
    failure: Failure | None = None


@attrs.frozen
class _Merged:
    """The resources of all sources, each with the source it came from."""

    listeners: dict[str, Any]
    clusters: dict[str, Any]
    endpoints: dict[str, Any]
    routes: dict[str, Any]
    sources: dict[tuple[str, str], str]

    def of(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, kind)
        return found


@attrs.frozen
class _Proposal:
    update: Update
    source: str
    sources: dict[str, Resources]
    merged: _Merged


class ConfigStore:
    """The configuration in force, and at most one proposed change of it."""

    def __init__(self, priority: Sequence[str] = ("bootstrap",), clock: Callable[[], float] = time.time) -> None:
        self.version = 0
        self._priority = {source: place for place, source in enumerate(priority)}
        self._clock = clock
        self._handed_out = 0
        self._sources: dict[str, Resources] = {}
        self._merged = _Merged({}, {}, {}, {}, {})
        self._states: dict[tuple[str, str], ResourceState] = {}
        self._failures: dict[str, Failure] = {}
        self._proposal: _Proposal | None = None
        self._subscribers: list[Callable[[Update], None]] = []

    def set_source(self, source: str, resources: Resources | None) -> Update:
        """Propose that ``source`` now says ``resources`` (None: nothing any more), and nothing but them.

        The update may be empty; it is proposed all the same. Raises ConfigError for a name given twice.
        """
        if self._proposal is not None:
            raise PlaitError(f"a change by {self._proposal.source!r} is neither accepted nor rejected yet")
        sources = dict(self._sources)
        if resources is None:
            sources.pop(source, None)
        else:
            _refuse_duplicates(source, resources)
            sources[source] = resources
        merged = self._merge(sources)
        update = self._difference(self._merged, merged)
        self._proposal = _Proposal(update, source, sources, merged)
        return update

    def accept(self, update: Update) -> None:
        """Bring the proposed ``update`` into force and tell the subscribers."""
        proposal = self._take_proposal(update)
        self.version = update.version
        self._sources = proposal.sources
        self._merged = proposal.merged
        self._failures.pop(proposal.source, None)
        now = self._clock()
        for kind in KINDS:
            for name, resource in getattr(update, kind).items():
                source = proposal.merged.sources[kind, name]
                own = proposal.sources[source].version if source in proposal.sources else ""
                state = ResourceState(name, resource, source, own or str(update.version), now)
                self._states[kind, name] = state
            for name in getattr(update, "removed_" + kind):
                self._states.pop((kind, name), None)
        for key, state in list(self._states.items()):
            if state.failure is not None and state.resource is None:
                del self._states[key]
            elif state.failure is not None and state.source == proposal.source:
                self._states[key] = attrs.evolve(state, failure=None)
        for call in tuple(self._subscribers):
            call(update)

    def reject(self, update: Update, error: str) -> Update:
        """Forget the proposed ``update`` because of ``error``; gives the update that undoes it."""
        proposal = self._take_proposal(update)
        failure = Failure(str(update.version), self._clock(), error)
        self._failures[proposal.source] = failure
        for kind in KINDS:
            for name in getattr(update, kind):
                state = self._states.get((kind, name)) or ResourceState(name, None, proposal.source, "", 0.0)
                self._states[kind, name] = attrs.evolve(state, failure=failure)
        return self._difference(proposal.merged, self._merged)

    def everything(self) -> Update:
        """The update that brings an empty worker to the state in force."""
        merged = self._merged
        return Update(self.version, merged.listeners, merged.clusters, merged.endpoints, merged.routes)

    def get(self, kind: str, name: str) -> Any | None:
        """The resource in force, or None."""
        return self._merged.of(kind).get(name)

    def source_of(self, kind: str, name: str) -> str:
        """The source that the resource in force came from; empty when there is none."""
        return self._merged.sources.get((kind, name), "")

    def states(self, kind: str) -> list[ResourceState]:
        """Every resource of ``kind`` (one of ``KINDS``), in force or refused, by name."""
        return [self._states[key] for key in sorted(self._states) if key[0] == kind]

    def failures(self) -> Mapping[str, Failure]:
        """The sources whose last change was refused."""
        return dict(self._failures)

    def note_failure(self, source: str, error: str) -> None:
        """``source`` could not even be read; what it said before stays in force."""
        self._failures[source] = Failure("", self._clock(), error)

    def subscribe(self, call: Callable[[Update], None]) -> Callable[[], None]:
        """``call`` with every accepted update, until the function that this returns is called."""
        self._subscribers.append(call)
        return lambda: self._subscribers.remove(call)

    def _take_proposal(self, update: Update) -> _Proposal:
        proposal = self._proposal
        if proposal is None or proposal.update.version != update.version:
            raise PlaitError(f"configuration version {update.version} is not the one proposed")
        self._proposal = None
        return proposal

    def _merge(self, sources: Mapping[str, Resources]) -> _Merged:
        merged = _Merged({}, {}, {}, {}, {})
        answers: dict[str, tuple[Endpoints, str]] = {}
        services: dict[str, list[tuple[Endpoints, str]]] = {}
        for source in sorted(sources, key=lambda name: (self._priority.get(name, len(self._priority)), name)):
            resources = sources[source]
            for kind in ("listeners", "clusters", "routes"):
                into = merged.of(kind)
                for resource in getattr(resources, kind):
                    if resource.name not in into:
                        into[resource.name] = resource
                        merged.sources[kind, resource.name] = source
            for endpoints in resources.endpoints:
                answers.setdefault(endpoints.cluster, (endpoints, source))
            for service in resources.services:
                services.setdefault(service.cluster, []).append((service, source))

        asked = set()
        for cluster in list(merged.clusters.values()):
            if cluster.type != "eds":
                continue
            service_name = cluster.eds_service_name or cluster.name
            asked.add(service_name)
            told = [answers[service_name]] if service_name in answers else services.get(service_name, ())
            if told:
                merged.endpoints[cluster.name] = _together(cluster.name, told)
                merged.sources["endpoints", cluster.name] = told[0][1]
        for name, told in services.items():
            if name not in asked and name not in merged.clusters:
                _add_service(merged, name, told)
        return merged

    def _difference(self, before: _Merged, after: _Merged) -> Update:
        changed: dict[str, dict[str, Any]] = {}
        removed: dict[str, tuple[str, ...]] = {}
        for kind in KINDS:
            old, new = before.of(kind), after.of(kind)
            changed[kind] = {
                name: resource for name, resource in new.items() if name not in old or old[name] != resource
            }
            removed["removed_" + kind] = tuple(name for name in old if name not in new)
        for name in changed["clusters"]:
            if name in after.endpoints:
                changed["endpoints"][name] = after.endpoints[name]
        self._handed_out += 1
        step: dict[str, Any] = {**changed, **removed}
        return Update(self._handed_out, **step)


def _together(cluster: str, told: Iterable[tuple[Endpoints, str]]) -> Endpoints:
    """The instances that several registries know of; of two with one address, the first."""
    by_address: dict[str, Endpoint] = {}
    for endpoints, _ in told:
        for endpoint in endpoints.endpoints:
            by_address.setdefault(str(endpoint.address), endpoint)
    return Endpoints(cluster, tuple(by_address.values()))


def _add_service(merged: _Merged, name: str, told: Sequence[tuple[Endpoints, str]]) -> None:
    """A cluster for a service that none asks for: of type ``eds``, so that a new instance leaves connections alone."""
    endpoints = _together(name, told)
    merged.sources["clusters", name] = told[0][1]
    if all(endpoint.address.path or _is_ip(endpoint.address.host) for endpoint in endpoints.endpoints):
        merged.clusters[name] = Cluster(name, type="eds")
        merged.endpoints[name] = endpoints
        merged.sources["endpoints", name] = told[0][1]
    else:
        merged.clusters[name] = Cluster(name, type="strict_dns", endpoints=endpoints.endpoints)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _refuse_duplicates(source: str, resources: Resources) -> None:
    for kind in (*KINDS, "services"):
        seen = set()
        for resource in getattr(resources, kind):
            name = resource.cluster if isinstance(resource, Endpoints) else resource.name
            if name in seen:
                raise ConfigError(f"{source} names {kind} {name!r} twice", expected="each name once")
            seen.add(name)
