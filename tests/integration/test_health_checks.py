"""Active health checks over real sockets: who is asked what, and who gets requests because of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.harness import (
    Json,
    Mesh,
    Peer,
    Upstream,
    answering,
    cluster,
    configuration,
    field,
    get,
    live,
    ok,
    response,
    status_of,
    until,
)
from tests.integration.http2 import Http2Upstream, Message, Session, http2_options

SERVING = b"\0\0\0\0\x02\x08\x01"
NOT_SERVING = b"\0\0\0\0\x02\x08\x02"
GRPC = ((b"content-type", b"application/grpc"),)
HTTP = {"http_health_check": {"path": "/healthz"}}


def checks(kind: Json, **more: Any) -> Json:
    """For a cluster: one health check, often and not patient unless ``more`` says other."""
    check: Json = {
        "timeout": "5s",
        "interval": "0.02s",
        "no_traffic_interval": "0.02s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        **kind,
        **more,
    }
    return {"health_checks": [check]}


def no_panic(**check: Any) -> Json:
    """The same for a cluster that never takes hosts that are not well."""
    return {**check, "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}


class Service:
    """Answers ``/healthz`` with what ``health`` says, and everything else with its name; notes both."""

    def __init__(self, name: bytes, health: int = 200) -> None:
        self.name = name
        self.health = health
        self.checks: list[bytes] = []
        self.connections_of_checks: set[int] = set()
        self.requests = 0

    async def __call__(self, peer: Peer, number: int) -> None:
        while True:
            head, _ = await peer.message()
            if not head:
                return
            if b" /healthz " in head:
                self.checks.append(head)
                self.connections_of_checks.add(number)
                await peer.send(response(self.health, b"as I feel"))
            else:
                self.requests += 1
                await peer.send(ok(self.name))


def hosts(mesh: Mesh, name: str = "up") -> list[Any]:
    found = mesh.plane.cluster(name)
    assert found is not None
    return list(found.hosts)


def failing(mesh: Mesh, name: str = "up") -> list[bool]:
    """Which hosts the checks found not well."""
    return [host.failed_check for host in hosts(mesh, name)]


def stat(mesh: Mesh, name: str) -> int:
    return mesh.counter(f"cluster.up.{name}")


async def answers(mesh: Mesh, count: int = 8) -> set[bytes]:
    """The bodies of so many requests."""
    return {(await mesh.ask(get()))[1] for _ in range(count)}


# HTTP


@live
async def test_a_host_that_fails_its_check_gets_no_requests_until_it_succeeds() -> None:
    one, two = Service(b"one"), Service(b"two", 503)
    async with Upstream(one) as first, Upstream(two) as second:
        up = cluster("up", first.port, second.port, **checks(HTTP))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False, True]
            assert await answers(mesh) == {b"one"}
            assert not two.requests
            assert stat(mesh, "membership_healthy") == 1
            assert stat(mesh, "membership_total") == 2
            assert stat(mesh, "health_check.healthy") == 1
            two.health = 200
            await until(lambda: failing(mesh) == [False, False], "the second host to be well")
            assert await answers(mesh) == {b"one", b"two"}
            assert stat(mesh, "health_check.healthy") == 2
            one.health = 500
            await until(lambda: failing(mesh) == [True, False], "the first host to fail")
            assert await answers(mesh) == {b"two"}
            attempts = stat(mesh, "health_check.attempt")
            done = stat(mesh, "health_check.success") + stat(mesh, "health_check.failure")
            assert attempts - 2 <= done <= attempts
            assert stat(mesh, "health_check.failure")
            assert not stat(mesh, "health_check.network_failure")


@live
async def test_checks_are_no_traffic() -> None:
    service = Service(b"one")
    async with (
        Upstream(service) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(HTTP))])) as mesh,
    ):
        await until(lambda: len(service.checks) > 2, "some checks")
        assert not stat(mesh, "upstream_cx_total")
        assert not stat(mesh, "upstream_rq_total")
        assert [host.requests for host in hosts(mesh)] == [0]
        assert service.connections_of_checks == {0}


@live
async def test_a_check_says_who_asks_and_whom() -> None:
    service = Service(b"one")
    kind = {
        "http_health_check": {
            "path": "/healthz?deep",
            "method": "OPTIONS",
            "request_headers_to_add": [{"header": {"key": "x-token", "value": "t"}}],
            "expected_statuses": [{"start": 200, "end": 300}],
        }
    }

    async def handler(peer: Peer, number: int) -> None:
        while head := (await peer.message())[0]:
            service.checks.append(head)
            await peer.send(response(204))

    async with Upstream(handler) as upstream:
        up = cluster("up", upstream.port, **checks(kind))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False]
            head = service.checks[0]
            assert head.startswith(b"OPTIONS /healthz?deep HTTP/1.1\r\n")
            assert field(head, b"host") == b"up"
            assert field(head, b"user-agent") == b"Envoy/HC"
            assert field(head, b"x-token") == b"t"
            kind["http_health_check"]["host"] = "shop"
            await mesh.change(configuration([cluster("up", upstream.port, **checks(kind))]))
            await until(lambda: field(service.checks[-1], b"host") == b"shop", "a check of that host")
            named = cluster("up", upstream.port, **checks(kind))
            named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["health_check_config"] = {
                "hostname": "mine"
            }
            await mesh.change(configuration([named]))
            await until(lambda: field(service.checks[-1], b"host") == b"mine", "a check of the endpoint's name")


@live
async def test_an_endpoint_is_asked_at_its_own_port_or_not_at_all() -> None:
    doctor, patient, other = Service(b"doctor", 500), Service(b"patient"), Service(b"other", 500)
    async with Upstream(doctor) as asked, Upstream(patient) as first, Upstream(other) as second:
        up = cluster("up", first.port, second.port, **checks(HTTP))
        endpoints = up["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoints[0]["endpoint"]["health_check_config"] = {"port_value": asked.port}
        endpoints[1]["endpoint"]["health_check_config"] = {"disable_active_health_check": True}
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [True, False]
            assert await answers(mesh) == {b"other"}
            assert not patient.checks
            assert not other.checks
            doctor.health = 200
            await until(lambda: failing(mesh) == [False, False], "the host to be well")
            assert await answers(mesh) == {b"patient", b"other"}


@live
async def test_statuses_that_may_pass_count_towards_the_threshold_and_others_at_once() -> None:
    service = Service(b"one")
    kind = {"http_health_check": {"path": "/healthz", "retriable_statuses": [{"start": 500, "end": 600}]}}
    async with Upstream(service) as upstream:
        up = cluster("up", upstream.port, **checks(kind, unhealthy_threshold=3))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False]
            service.health = 503
            await until(lambda: failing(mesh) == [True], "three failures")
            failures = stat(mesh, "health_check.failure")
            assert failures >= 3
            service.health = 200
            await until(lambda: failing(mesh) == [False], "a success")
            before = stat(mesh, "health_check.failure")
            service.health = 404
            await until(lambda: failing(mesh) == [True], "a failure")
            assert stat(mesh, "health_check.failure") >= before + 1


@live
async def test_a_connection_is_made_anew_when_it_may_not_be_kept() -> None:
    service = Service(b"one")
    up = checks(HTTP, reuse_connection=False)
    async with Upstream(service) as upstream, Mesh(configuration([cluster("up", upstream.port, **up)])) as mesh:
        await until(lambda: len(service.connections_of_checks) > 2, "three connections")
        assert failing(mesh) == [False]


@live
async def test_a_connection_that_the_host_closes_between_checks_is_no_failure() -> None:
    async def once(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(ok(b"", b"connection: close"))

    async with (
        Upstream(once) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(HTTP))])) as mesh,
    ):
        await until(lambda: upstream.connections > 3, "some checks")
        assert failing(mesh) == [False]
        assert not stat(mesh, "health_check.failure")


@live
async def test_a_body_of_any_length_is_read_past() -> None:
    up = checks(HTTP)
    async with (
        Upstream(answering(ok(b"x" * 300_000))) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **up)])) as mesh,
    ):
        await until(lambda: stat(mesh, "health_check.success") > 2, "some checks")
        assert failing(mesh) == [False]
        assert upstream.connections == 1


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"])
@live
async def test_no_answer_is_a_failure_of_the_network(answer: bytes) -> None:
    async def broken(peer: Peer, number: int) -> None:
        await peer.message()
        await peer.send(answer)

    async with (
        Upstream(broken) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(HTTP))])) as mesh,
    ):
        await until(lambda: stat(mesh, "health_check.failure") > 1, "some checks")
        assert failing(mesh) == [True]
        assert stat(mesh, "health_check.network_failure") == stat(mesh, "health_check.failure")


@live
async def test_silence_fails_after_the_timeout_and_gives_the_connection_up() -> None:
    ended = 0

    async def silent(peer: Peer, number: int) -> None:
        nonlocal ended
        await peer.message()
        await peer.rest()
        ended += 1

    async with Upstream(silent) as upstream:
        up = cluster("up", upstream.port, **checks(HTTP, timeout="0.05s"))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [True]
            await until(lambda: ended > 1, "connections to be given up")
            assert stat(mesh, "health_check.network_failure")


@live
async def test_nobody_there_is_a_failure() -> None:
    async with Upstream(Service(b"")) as upstream:
        port = upstream.port
    async with Mesh(configuration([cluster("up", port, **no_panic(**checks(HTTP)))])) as mesh:
        assert failing(mesh) == [True]
        head, body = await mesh.ask(get())
        assert (status_of(head), body) == (503, b"no healthy upstream")
        assert mesh.log.flags == ["UH"]


@live
async def test_while_most_are_not_well_all_get_requests() -> None:
    one, two, three = Service(b"one"), Service(b"two", 500), Service(b"three", 500)
    async with Upstream(one) as a, Upstream(two) as b, Upstream(three) as c:
        ports = (a.port, b.port, c.port)
        async with Mesh(configuration([cluster("up", *ports, **checks(HTTP))])) as mesh:
            assert failing(mesh) == [False, True, True]
            assert await answers(mesh, 12) == {b"one", b"two", b"three"}
            await mesh.change(configuration([cluster("up", *ports, **no_panic(**checks(HTTP)))]))
            assert await answers(mesh, 12) == {b"one"}


@live
async def test_http_2_is_asked_in_http_2() -> None:
    async def serve(session: Session, message: Message) -> None:
        await session.answer(message, 200, b"x" * 100_000)

    kind = {"http_health_check": {"path": "/healthz", "codec_client_type": "HTTP2"}}
    handler = Http2Upstream(serve)
    async with Upstream(handler) as upstream:
        up = cluster("up", upstream.port, **checks(kind), **http2_options())
        async with Mesh(configuration([up])) as mesh:
            await until(lambda: len(handler.asked) > 25, "so many checks that the windows were used up")
            assert failing(mesh) == [False]
            assert handler.asked[0].field(b":authority") == b"up"
            assert handler.asked[0].field(b":scheme") == b"http"
            assert upstream.connections == 1
            assert not stat(mesh, "health_check.failure")


# gRPC


class Health:
    """A gRPC health service whose answer is set; ``ways`` are other ways to answer, by name."""

    def __init__(self) -> None:
        self.way = "serving"
        self.handler = Http2Upstream(self._serve)

    async def _serve(self, session: Session, message: Message) -> None:
        way = self.way
        if way in ("serving", "not serving"):
            session.h2.send_headers(message.id, [(b":status", b"200"), *GRPC])
            await session.send(message, SERVING if way == "serving" else NOT_SERVING, end=False)
            await session.send_trailers(message, (b"grpc-status", b"0"))
        elif way == "unimplemented":
            await session.answer(message, 200, b"", *GRPC, (b"grpc-status", b"12"))
        elif way == "no status":
            await session.answer(message, 200, SERVING, *GRPC)
        elif way == "not found":
            await session.answer(message, 404, b"no")
        elif way == "too much":
            session.h2.send_headers(message.id, [(b":status", b"200"), *GRPC])
            await session.send(message, SERVING + b"x" * 200_000, end=False)
            await session.send_trailers(message, (b"grpc-status", b"0"))
        elif way == "reset":
            await session.reset(message)
        elif way == "leaving":
            await session.go_away(0)
        elif way == "last one":
            await session.go_away(message.id)
            self.way = "serving"
            await self._serve(session, message)


@contextlib.asynccontextmanager
async def health_of(kind: Json, **more: Any) -> AsyncIterator[tuple[Mesh, Health, Upstream]]:
    """A mesh that checks one gRPC server."""
    health = Health()
    async with Upstream(health.handler) as upstream:
        up = cluster("up", upstream.port, **checks({"grpc_health_check": kind}, **more), **http2_options())
        async with Mesh(configuration([up])) as mesh:
            yield mesh, health, upstream


@live
async def test_grpc_is_asked_by_its_health_service() -> None:
    kind = {
        "service_name": "shop.Cart",
        "authority": "shop",
        "initial_metadata": [{"header": {"key": "x-token", "value": "t"}}],
    }
    async with health_of(kind) as (mesh, health, upstream):
        assert failing(mesh) == [False]
        asked = health.handler.asked[0]
        assert asked.field(b":method") == b"POST"
        assert asked.field(b":path") == b"/grpc.health.v1.Health/Check"
        assert asked.field(b":authority") == b"shop"
        assert asked.field(b"content-type") == b"application/grpc"
        assert asked.field(b"te") == b"trailers"
        assert asked.field(b"x-token") == b"t"
        assert bytes(asked.body) == b"\0\0\0\0\x0b\x0a\x09shop.Cart"
        await until(lambda: len(health.handler.asked) > 5, "more checks")
        assert upstream.connections == 1


@pytest.mark.parametrize("way", ["not serving", "unimplemented", "no status", "not found", "too much"])
@live
async def test_a_server_that_says_no_is_believed_at_once(way: str) -> None:
    async with health_of({}, unhealthy_threshold=1000) as (mesh, health, upstream):
        assert failing(mesh) == [False]
        health.way = way
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert not stat(mesh, "health_check.network_failure")
        health.way = "serving"
        await until(lambda: failing(mesh) == [False], "the host to be well")
        assert upstream.connections == 1


@pytest.mark.parametrize("way", ["reset", "leaving"])
@live
async def test_a_call_without_an_answer_counts_towards_the_threshold(way: str) -> None:
    async with health_of({}, unhealthy_threshold=3) as (mesh, health, _):
        assert failing(mesh) == [False]
        health.way = way
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert stat(mesh, "health_check.network_failure") >= 3
        health.way = "serving"
        await until(lambda: failing(mesh) == [False], "the host to be well")


@live
async def test_a_server_that_goes_away_is_asked_on_another_connection() -> None:
    async with health_of({}) as (mesh, health, upstream):
        health.way = "last one"
        await until(lambda: upstream.connections > 1, "another connection")
        assert failing(mesh) == [False]
        assert not stat(mesh, "health_check.failure")


# TCP


@live
async def test_a_connection_is_enough() -> None:
    async def quiet(peer: Peer, number: int) -> None:
        await peer.rest()

    async with (
        Upstream(quiet) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks({"tcp_health_check": {}}))])) as mesh,
    ):
        assert failing(mesh) == [False]
        await until(lambda: upstream.connections > 2, "some checks")
        await upstream.stop()
        await until(lambda: failing(mesh) == [True], "the host to fail")
        assert stat(mesh, "health_check.network_failure")


@live
async def test_bytes_are_sent_and_others_expected() -> None:
    seen: list[bytes] = []
    answer = [b"+PO", b"NG\r\n"]

    async def pong(peer: Peer, number: int) -> None:
        while True:
            seen.append(await peer.until(b"\n"))
            await peer.send(*answer)

    kind = {"tcp_health_check": {"send": {"text": b"PING\n".hex()}, "receive": [{"text": b"PONG".hex()}]}}
    async with Upstream(pong) as upstream:
        up = cluster("up", upstream.port, **checks(kind, timeout="0.5s"))
        async with Mesh(configuration([up])) as mesh:
            assert failing(mesh) == [False]
            await until(lambda: len(seen) > 3, "some checks")
            assert upstream.connections == 1
            answer[:] = [b"-LOADING\r\n"]
            await until(lambda: failing(mesh) == [True], "the host to fail")
            assert set(seen) == {b"PING\n"}


@live
async def test_bytes_that_want_no_answer_are_sent() -> None:
    seen: list[bytes] = []

    async def listens(peer: Peer, number: int) -> None:
        seen.append(await peer.rest())

    kind = {"tcp_health_check": {"send": {"text": b"hello".hex()}}}
    async with (
        Upstream(listens) as upstream,
        Mesh(configuration([cluster("up", upstream.port, **checks(kind))])) as mesh,
    ):
        await until(lambda: b"hello" in seen, "what was sent")
        assert failing(mesh) == [False]


# changes


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
