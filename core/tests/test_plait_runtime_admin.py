"""The admin server: its HTTP and its pages, over a supervisor made of plain values."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from plait.api import Address, Bootstrap, Cluster, ConfigError, Endpoint, Node, Snapshot, Thresholds
from plait.plugins import Catalogue
from plait.runtime import admin_http
from plait.runtime.admin import PAGES, Admin
from plait.runtime.admin_http import AdminServer, Answer, Ask
from plait.runtime.admin_pages import clusters_json, clusters_text, merge_clusters
from plait.runtime.options import RunOptions
from plait.runtime.statistics import MergedStats, StatsStore
from plait.xds.store import ConfigStore, Resources

HOST = {
    "address": "10.0.0.1:80",
    "hostname": "one",
    "weight": 2,
    "healthy": True,
    "locality": "here",
    "priority": 0,
    "cx_active": 1,
    "rq_active": 2,
    "rq_total": 3,
    "rq_error": 4,
}


class Shown:
    """What a supervisor would show."""

    state = "LIVE"
    version = "1.2.3"
    started_at = 0.0
    options = RunOptions("bootstrap.yaml")
    pids = [11, 12]  # noqa: RUF012

    def __init__(self) -> None:
        self.bootstrap = Bootstrap(Node("here", "tests"))
        self.store = ConfigStore()
        clusters = (Cluster("a", endpoints=(Endpoint(Address("10.0.0.1", 80)),), thresholds=Thresholds(7)),)
        self.store.accept(self.store.set_source("bootstrap", Resources(clusters=clusters)))
        self.catalogue: Catalogue | None = Catalogue(())
        self.merged = MergedStats()
        stats = StatsStore()
        stats.counter("http.in.rq_total").value = 5
        stats.counter("http.in.unused")
        stats.gauge("http.in.rq_active").value = 2
        stats.histogram("http.in.rq_time").values.extend([10.0, 20.0])
        stats.histogram("http.in.quiet")
        self.merged.add(0, stats.take())

    def addresses(self) -> dict[str, str]:
        return {"in": "127.0.0.1:80", "pipe": "unix:/run/x"}

    async def collect(self) -> Snapshot:
        return self.merged.snapshot()

    async def ask_workers(self, what: str, timeout_s: float) -> list[Any]:
        cluster = {"name": "a", "hosts": [HOST]}
        return [[cluster], [cluster]]


def get(path: str, shown: Shown | None = None, method: str = "GET", **query: str) -> Answer:
    return asyncio.run(Admin(shown or Shown()).answer(Ask(method, path, query)))


def test_every_page_answers() -> None:
    for page in PAGES:
        path = page.path if page.path != "/stats/" else "/stats"
        assert get(path, method=page.method).status == 200, path


def test_index_names_every_page() -> None:
    body = str(get("/").body)
    assert all(f"  {page.path}: " in body for page in PAGES)
    assert get("/nothing").status == 404
    assert "/config_dump" in str(get("/nothing").body)


def test_pages_that_show_are_not_posted_to() -> None:
    assert get("/stats", method="POST").status == 405
    assert get("/stats", method="HEAD").status == 200


@pytest.mark.parametrize("state", ["PRE_INITIALIZING", "INITIALIZING", "DRAINING"])
def test_ready_says_the_state_when_it_is_not_live(state: str) -> None:
    shown = Shown()
    assert get("/ready", shown) == Answer("LIVE\n")
    shown.state = state
    assert get("/ready", shown) == Answer(f"{state}\n", 503)


def test_server_info_tells_version_state_and_workers() -> None:
    info = json.loads(get("/server_info").body)
    assert info["version"] == "plait/1.2.3"
    assert info["state"] == "LIVE"
    assert info["worker_pids"] == [11, 12]
    assert info["node"] == {"id": "here", "cluster": "tests"}
    assert info["command_line_options"]["config_path"] == "bootstrap.yaml"


def test_stats_are_lines_of_name_and_value_then_histograms() -> None:
    lines = str(get("/stats").body).splitlines()
    assert lines[:3] == ["http.in.rq_active: 2", "http.in.rq_total: 5", "http.in.unused: 0"]
    assert lines[3] == "http.in.quiet: No recorded values"
    assert lines[4].startswith("http.in.rq_time: P0(nan,9.9) P25(nan,")
    assert lines[4].endswith(" P100(nan,20)")


def test_stats_can_be_filtered_by_name_use_and_kind() -> None:
    assert get("/stats", filter="rq_(total|active)$").body == "http.in.rq_active: 2\nhttp.in.rq_total: 5\n"
    assert "unused" not in str(get("/stats", usedonly="").body)
    assert "quiet" not in str(get("/stats", usedonly="").body)
    assert get("/stats", type="Gauges").body == "http.in.rq_active: 2\n"
    assert get("/stats", filter="(").status == 400
    assert get("/stats", type="Wrong").status == 400


def test_stats_as_json_have_envoys_shape() -> None:
    stats = json.loads(get("/stats", format="json").body)["stats"]
    assert {"name": "http.in.rq_total", "value": 5} in stats
    histograms = stats[-1]["histograms"]
    assert histograms["supported_quantiles"] == [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]
    (time,) = [one for one in histograms["computed_quantiles"] if one["name"] == "http.in.rq_time"]
    assert len(time["values"]) == 10
    assert time["values"][-1] == {"interval": None, "cumulative": 20.0}


def test_missing_format_names_what_to_install() -> None:
    answer = get("/stats/prometheus")
    assert answer.status == 404
    assert "plait-telemetry-prometheus" in str(answer.body)
    shown = Shown()
    shown.catalogue = None
    assert get("/stats/prometheus", shown).status == 503


def test_clusters_add_up_workers_and_show_the_configured_limits() -> None:
    lines = str(get("/clusters").body).splitlines()
    assert "a::default_priority::max_connections::7" in lines
    assert "a::added_via_api::false" in lines
    assert "a::10.0.0.1:80::cx_active::2" in lines
    assert "a::10.0.0.1:80::rq_total::6" in lines
    assert "a::10.0.0.1:80::health_flags::healthy" in lines
    assert "a::10.0.0.1:80::weight::2" in lines
    (status,) = json.loads(get("/clusters", format="json").body)["cluster_statuses"]
    (host,) = status["host_statuses"]
    assert host["address"] == {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    assert {"name": "rq_error", "type": "COUNTER", "value": "8"} in host["stats"]


@pytest.mark.parametrize(
    ("told", "flags", "status"),
    [
        ([{}, {}], "healthy", {"eds_health_status": "HEALTHY"}),
        ([{"healthy": False}], "/failed_eds_health", {"eds_health_status": "UNHEALTHY"}),
        (
            [{}, {"failed_check": True}],
            "/failed_active_hc",
            {"eds_health_status": "HEALTHY", "failed_active_health_check": True},
        ),
        (
            [{"failed_check": True, "healthy": False}, {"failed_check": True, "check_timed_out": True}],
            "/failed_active_hc/failed_eds_health/active_hc_timeout",
            {"eds_health_status": "UNHEALTHY", "failed_active_health_check": True, "active_hc_timeout": True},
        ),
    ],
    ids=["well", "registry", "one worker's check", "everything"],
)
def test_clusters_say_what_is_wrong_with_a_host(told: list[dict[str, Any]], flags: str, status: dict[str, Any]) -> None:
    merged = merge_clusters([[{"name": "a", "hosts": [{**HOST, **one}]}] for one in told])
    assert f"a::10.0.0.1:80::health_flags::{flags}" in clusters_text(merged, lambda _: Thresholds(), bool).splitlines()
    (host,) = clusters_json(merged, lambda _: Thresholds(), bool)["cluster_statuses"][0]["host_statuses"]
    assert host["health_status"] == status


def test_listeners_say_where_they_listen() -> None:
    assert get("/listeners").body == "in::127.0.0.1:80\npipe::unix:/run/x\n"
    statuses = json.loads(get("/listeners", format="json").body)["listener_statuses"]
    assert statuses[0]["local_address"] == {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    assert statuses[1]["local_address"] == {"pipe": {"path": "/run/x"}}


def test_config_dump_refuses_an_unknown_list() -> None:
    assert get("/config_dump", resource="static_clusters").status == 200
    assert get("/config_dump", resource="clusters").status == 404


# HTTP


def served(handler: Callable[[Ask], Awaitable[Answer]], *sent: bytes) -> bytes:
    """All that comes back for what is sent, until the server closes."""

    async def scenario() -> bytes:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            server = AdminServer(group, handler)
            await server.start(Address())
            host, _, port = server.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.writelines(sent)
            try:
                back = await reader.read()
            except ConnectionError:
                back = b""
            finally:
                writer.close()
                await server.close()
        return back

    return asyncio.run(scenario())


async def echo(ask: Ask) -> Answer:
    return Answer(f"{ask.method} {ask.path} {ask.query}")


def test_two_requests_on_one_connection_are_answered_in_order() -> None:
    back = served(
        echo,
        b"GET /a%20b?x=1&y HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
    )
    assert back.count(b"HTTP/1.1 200") == 2
    assert b"GET /a b {'x': '1', 'y': ''}" in back
    assert back.endswith(b"POST /b {}")


def test_head_has_the_length_and_no_body() -> None:
    back = served(echo, b"HEAD /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"content-length: 10\r\n" in back.lower()
    assert back.endswith(b"\r\n\r\n")


def test_server_listens_on_loopback_unless_told_otherwise() -> None:
    async def scenario() -> str:
        async with asyncio.TaskGroup() as group:
            server = AdminServer(group, echo)
            await server.start(Address())
            await server.close()
            return server.address

    assert asyncio.run(scenario()).startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000, b"413"),
    ],
)
def test_bad_requests_get_their_status_and_are_cut_off(sent: bytes, status: bytes) -> None:
    assert served(echo, sent).startswith(b"HTTP/1.1 " + status)


def test_page_that_fails_is_a_500_and_ends_nothing() -> None:
    async def broken(ask: Ask) -> Answer:
        if ask.path == "/broken":
            raise KeyError("oops")
        return Answer("fine")

    back = served(
        broken,
        b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /fine HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    assert b"HTTP/1.1 500" in back
    assert back.endswith(b"fine")


def test_connections_over_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "CONNECTION_LIMIT", 0)
    assert served(echo, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == b""


def test_silent_peer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_http, "READ_TIMEOUT_S", 0.01)
    assert served(echo, b"GET / HTTP/1.1\r\n") == b""


def test_address_that_is_taken_is_said() -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            first = AdminServer(group, echo)
            await first.start(Address())
            host, _, port = first.address.rpartition(":")
            with pytest.raises(ConfigError, match=f"admin: cannot listen on 127.0.0.1:{port}"):
                await AdminServer(group, echo).start(Address(host, int(port)))
            await first.close()

    asyncio.run(scenario())
