"""Active health checks over real sockets: who is asked what, and who gets requests because of the answers."""

from __future__ import annotations

import pytest

from tests.integration.harness import (
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
from tests.integration.health import HTTP, Service, answers, checks, failing, hosts, no_panic, stat
from tests.integration.http2 import Http2Upstream, Message, Session, http2_options


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
