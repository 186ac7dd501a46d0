"""Health checks while clusters and their endpoints come, change and go."""

from __future__ import annotations

import asyncio
import gc

from tests.integration.harness import Json, Mesh, Peer, Upstream, cluster, configuration, live, until
from tests.integration.health import HTTP, Service, answers, checks, failing, hosts, no_panic, stat


@live
async def test_what_is_known_of_hosts_survives_a_swap_of_the_cluster() -> None:
    one, two = Service(b"one"), Service(b"two", 500)
    slow = {"interval": "600s", "no_traffic_interval": "600s"}
    async with Upstream(one) as first, Upstream(two) as second:
        up = cluster("up", first.port, second.port, **no_panic(**checks(HTTP, healthy_threshold=3, **slow)))
        async with Mesh(configuration([up])) as mesh:
            before = mesh.plane.cluster("up")
            assert failing(mesh) == [False, True]
            one.health, two.health = 503, 200  # what the next checks find, one success being too few by then
            checked = len(one.checks)
            up["connect_timeout"] = "4s"
            await mesh.change(configuration([up]))
            assert mesh.plane.cluster("up") is not before
            assert failing(mesh)[1] is True
            assert stat(mesh, "health_check.healthy") == 1 - failing(mesh)[0]
            await until(lambda: len(one.checks) > checked and failing(mesh) == [True, True], "the next checks")
            assert before is not None
            assert [host.failed_check for host in before.hosts] == [False, False]
            assert stat(mesh, "health_check.healthy") == 0


@live
async def test_endpoints_that_come_are_checked_before_they_count_and_those_that_go_are_let_alone() -> None:
    one, two = Service(b"one"), Service(b"two", 500)
    async with Upstream(one) as first, Upstream(two) as second:
        config = checks(HTTP)
        async with Mesh(configuration([cluster("up", first.port, **config)])) as mesh:
            before = mesh.plane.cluster("up")
            await mesh.change(configuration([cluster("up", first.port, second.port, **config)]))
            assert mesh.plane.cluster("up") is before
            assert failing(mesh) == [False, True]
            assert await answers(mesh) == {b"one"}
            await until(lambda: two.checks, "a check")
            await mesh.change(configuration([cluster("up", second.port, **config)]))
            await until(lambda: hosts(mesh)[0].failed_check, "the host to fail")
            stopped = len(one.checks)
            asked = len(two.checks)
            await until(lambda: len(two.checks) > asked + 3, "more checks")
            assert len(one.checks) <= stopped + 1
            assert stat(mesh, "health_check.healthy") == 0


@live
async def test_a_cluster_that_goes_asks_nobody_any_more() -> None:
    service, other = Service(b"one"), Service(b"other")
    async with Upstream(service) as upstream, Upstream(other) as beside:
        clusters = [cluster("up", upstream.port, **checks(HTTP)), cluster("beside", beside.port, **checks(HTTP))]
        async with Mesh(configuration(clusters)) as mesh:
            await until(lambda: service.checks, "a check")
            await mesh.change(configuration([clusters[1]], [route_to_beside()]))
            stopped, asked = len(service.checks), len(other.checks)
            await until(lambda: len(other.checks) > asked + 3, "checks of the other cluster")
            assert len(service.checks) <= stopped + 1
            assert stat(mesh, "health_check.healthy") == 0
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert [name for name in names if name.startswith("health check")] == [
                f"health check 127.0.0.1:{beside.port}"
            ]


def route_to_beside() -> Json:
    return {"match": {"prefix": "/"}, "route": {"cluster": "beside"}}


@live
async def test_a_change_of_the_port_for_checks_is_heeded() -> None:
    doctor, patient = Service(b"doctor", 500), Service(b"patient")
    async with Upstream(doctor) as asked, Upstream(patient) as first:
        up = cluster("up", first.port, **checks(HTTP))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False]
            endpoint = up["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            endpoint["health_check_config"] = {"port_value": asked.port}
            await mesh.change(configuration([up]))
            await until(lambda: doctor.checks, "a check there")
            assert failing(mesh) == [True]


@live
async def test_workers_that_end_leave_nothing_behind() -> None:
    async def silent(peer: Peer, number: int) -> None:
        await peer.rest()

    async with Upstream(silent) as upstream:
        config = configuration([cluster("up", upstream.port, **checks(HTTP, timeout="0.05s"))])
        async with Mesh(config) as mesh:
            assert failing(mesh) == [True]
        gc.collect()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("health check")]


@live
async def test_the_first_check_may_wait_a_little() -> None:
    service = Service(b"one")
    jitter = {"initial_jitter": "0.02s", "interval_jitter": "0.02s", "interval_jitter_percent": 50}
    async with (
        Upstream(service) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(HTTP, **jitter))])) as mesh,
    ):
        assert failing(mesh) == [False]
        await until(lambda: len(service.checks) > 3, "some checks")
