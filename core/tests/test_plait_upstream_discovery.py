"""DNS clusters: every address of a name, or one; again and again; and what a failure leaves as it was."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import pytest

from plait.api import Address, Endpoint
from plait.api import Cluster as ClusterConfig
from plait.testing import FakeStats, RunningPlane, on_every_loop, until
from plait.upstream import Cluster, ClusterStats, discovery


class Names:
    """What stands for DNS: names to addresses, or to an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: list[str] | Exception) -> None:
        self.known: dict[str, list[str] | Exception] = dict(known)
        self.asked = 0
        monkeypatch.setattr(discovery, "_getaddrinfo", self.getaddrinfo)

    async def getaddrinfo(self, host: str, port: int, family: int) -> list[Any]:
        self.asked += 1
        found = self.known.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(found, Exception):
            raise found
        families = {ip: socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in found}
        return [(families[ip], 1, 6, "", (ip, port)) for ip in found if family in (0, families[ip])]


def names_of(cluster: Cluster) -> list[str]:
    return [host.name for host in cluster.hosts]


@contextlib.asynccontextmanager
async def resolving(*hosts: str, kind: str = "strict_dns", **more: Any) -> AsyncIterator[tuple[Cluster, FakeStats]]:
    """A cluster whose names were asked for once, and are again at every turn."""
    endpoints = tuple(Endpoint(Address(host, 80)) for host in hosts)
    stats = FakeStats()
    cluster = Cluster(
        ClusterConfig("c", kind, endpoints=endpoints, **{"dns_refresh_s": 0.01, **more}), ClusterStats(stats, "c")
    )
    ready = asyncio.Event()
    task = asyncio.get_running_loop().create_task(discovery.resolve(cluster, ready.set))
    try:
        await ready.wait()
        yield cluster, stats
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@on_every_loop
async def test_strict_dns_makes_a_host_of_every_address_of_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, a=["10.0.0.2", "10.0.0.1", "10.0.0.2"], b=["10.0.1.1"])
    async with resolving("a", "b") as (cluster, _):
        assert names_of(cluster) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80"]


@on_every_loop
async def test_logical_dns_uses_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, a=["10.0.0.2", "10.0.0.1"])
    async with resolving("a", kind="logical_dns") as (cluster, _):
        assert names_of(cluster) == ["10.0.0.1:80"]


@on_every_loop
async def test_a_change_of_addresses_is_followed_and_who_stays_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, a=["10.0.0.1", "10.0.0.2"])
    async with resolving("a") as (cluster, stats):
        stays = cluster.hosts[1]
        names.known["a"] = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: names_of(cluster) == ["10.0.0.2:80", "10.0.0.3:80"], "the new addresses")
        assert cluster.hosts[0] is stays
        assert stats.values()["cluster.c.membership_change"] == 2


@on_every_loop
async def test_the_same_addresses_again_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, a=["10.0.0.1"])
    async with resolving("a") as (cluster, stats):
        before = cluster.hosts
        asked = names.asked
        await until(lambda: names.asked > asked + 2, "more questions")
        assert cluster.hosts is before
        assert stats.values()["cluster.c.membership_change"] == 1


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_AGAIN, "try again"), TimeoutError(), UnicodeError("label too long")], ids=repr
)
def test_a_name_that_does_not_resolve_leaves_its_hosts(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        names = Names(monkeypatch, a=["10.0.0.1"], b=["10.0.1.1"])
        async with resolving("a", "b") as (cluster, stats):
            names.known["a"] = error
            names.known["b"] = ["10.0.1.2"]
            await until(lambda: names_of(cluster) == ["10.0.0.1:80", "10.0.1.2:80"], "the other name to be followed")
            assert stats.values()["cluster.c.update_failure"] >= 1

    asyncio.run(run())
    assert "cluster c: a does not resolve" in caplog.text


@on_every_loop
async def test_a_name_that_never_resolves_is_ready_without_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    async with resolving("a") as (cluster, stats):
        assert cluster.pick() is None
        assert stats.values()["cluster.c.update_failure"] >= 1
        names.known["a"] = ["10.0.0.1"]
        await until(lambda: cluster.hosts, "the name to resolve")


FAMILIES: Mapping[str, list[str]] = {
    "auto": ["[::1]:80"],
    "v4_only": ["10.0.0.1:80"],
    "v6_only": ["[::1]:80"],
}


@pytest.mark.parametrize(("family", "expected"), FAMILIES.items())
def test_the_family_of_addresses_can_be_chosen(
    family: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        Names(monkeypatch, a=["10.0.0.1", "::1"])
        async with resolving("a", dns_lookup_family=family) as (cluster, _):
            assert names_of(cluster) == expected

    asyncio.run(run())


@on_every_loop
async def test_auto_takes_ipv4_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, a=["10.0.0.1"])
    async with resolving("a") as (cluster, _):
        assert names_of(cluster) == ["10.0.0.1:80"]


@on_every_loop
async def test_localhost_resolves_for_real_before_the_update_is_in_force() -> None:
    for kind in ("strict_dns", "logical_dns"):
        endpoints = (Endpoint(Address("localhost", 80)),)
        config = ClusterConfig("c", kind, endpoints=endpoints, dns_lookup_family="v4_only")
        async with RunningPlane(clusters=[config]) as running:
            cluster = running.plane.cluster("c")
            assert cluster is not None
            assert names_of(cluster) == ["127.0.0.1:80"]


@on_every_loop
async def test_a_replaced_cluster_has_the_addresses_known_so_far_until_dns_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Names(monkeypatch, a=["10.0.0.1"])
    config = ClusterConfig("c", "strict_dns", endpoints=(Endpoint(Address("a", 80)),))
    async with RunningPlane(clusters=[config]) as running:
        answers = asyncio.Event()

        async def slow(host: str, port: int, family: int) -> list[Any]:
            await answers.wait()
            return [(socket.AF_INET, 1, 6, "", ("10.0.0.2", port))]

        monkeypatch.setattr(discovery, "_getaddrinfo", slow)
        before = running.plane.cluster("c")
        changing = asyncio.get_running_loop().create_task(
            running.change(clusters=[attrs.evolve(config, connect_timeout_s=1.0)])
        )
        await until(lambda: running.plane.cluster("c") is not before, "the change")
        cluster = running.plane.cluster("c")
        assert cluster is not None
        assert names_of(cluster) == ["10.0.0.1:80"]
        answers.set()
        await changing
        assert names_of(cluster) == ["10.0.0.2:80"]
        Names(monkeypatch)  # none that resolves
        await running.change(clusters=[attrs.evolve(config, connect_timeout_s=2.0)])
        cluster = running.plane.cluster("c")
        assert cluster is not None
        assert names_of(cluster) == ["10.0.0.2:80"]


@on_every_loop
async def test_static_endpoints_are_what_they_say() -> None:
    endpoints = (Endpoint(Address("10.0.0.1", 80)), Endpoint(Address(path="/run/x")))
    assert discovery.static(endpoints) == [(endpoints[0], ("10.0.0.1", 80)), (endpoints[1], "/run/x")]
