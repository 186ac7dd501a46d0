"""The same requests, then both pages for Prometheus: what has the same name is the same thing, and as much of it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.interop.conftest import Pair
from tests.interop.peers import ROOT, exchange, proxy, telling_service, with_ports
from tests.running import free_ports, until

Labels = tuple[tuple[str, str], ...]

# Counted alike for the same requests, whatever the timing.
EQUAL = [
    "envoy_http_downstream_rq_total",
    "envoy_http_downstream_rq_xx",
    "envoy_http_downstream_rq_completed",
    "envoy_http_downstream_rq_http1_total",
    "envoy_http_downstream_cx_total",
    "envoy_http_downstream_cx_protocol_error",
    "envoy_http_rq_total",
    "envoy_http_no_route",
    "envoy_cluster_upstream_rq_total",
    "envoy_cluster_upstream_rq_completed",
    "envoy_cluster_upstream_rq",
    "envoy_cluster_upstream_rq_xx",
    "envoy_cluster_upstream_rq_retry",
    "envoy_cluster_upstream_rq_timeout",
    "envoy_cluster_upstream_cx_connect_fail",
    "envoy_cluster_membership_total",
    "envoy_cluster_membership_healthy",
]
# Plait's own: what Envoy has no word for. Anything else that only Plait has is likely to be misspelt.
OWN = {
    "envoy_cluster_upstream_cx_heartbeat_timeout",
    "envoy_cluster_upstream_rx_unmatched_response",
    "envoy_http_downstream_rq_unanswered",
    "envoy_http_downstream_rq_unusual",
    "envoy_http_filter_error",
    "envoy_server_config_reload_failure",
    "envoy_server_config_reload_success",
    "envoy_server_config_update_rejected",
    "envoy_server_config_update_success",
    "envoy_server_worker_deaths",
    "envoy_server_workers_live",
}


class Page:
    """A page: the type of each metric, its samples' values by labels."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, str] = {}
        self.samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.types[sample.name] = family.type
                labels = tuple(sorted(sample.labels.items()))
                self.samples.setdefault(sample.name, {})[labels] = sample.value


def page(port: int) -> Page:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/prometheus", timeout=20) as response:
        text = response.read().decode()
    # The parser wants counters to end in _total, and takes the word out of the name when it says so.
    return Page(text.replace(" counter\n", " gauge\n"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """The pages of both after the same requests."""
    directory = tmp_path_factory.mktemp("prometheus")
    config = (ROOT / "bench" / "configs" / "http.yaml").read_text()
    pair = Pair()
    with ExitStack() as stack:
        upstream = stack.enter_context(telling_service("one"))
        for name in ("envoy", "plait"):
            listener, admin = free_ports(2)
            text = with_ports(config, {10000: listener, 9901: admin, 18080: upstream})
            stack.enter_context(proxy(name, text, Path(directory / name), listener, admin))
            pair.ports[name], pair.admin[name] = listener, admin
        found: dict[str, Page] = {}
        for name, port in pair.ports.items():
            for status in (200, 200, 204, 302, 404, 418, 500, 503):
                exchange(port, "/", "any.test", headers=[("x-answer", str(status))])
            exchange(port, "/", "any.test", "POST", body=b"x" * 1000)
            exchange(port, "/", "any.test", headers=[("x-close", f"{name} 1")])

            def counted(name: str = name) -> Page | None:
                read = page(pair.admin[name])
                done = read.samples.get("envoy_http_downstream_rq_completed", {})
                return read if 10 in done.values() and _connections(read) == 0 else None

            told = until(counted, f"{name} has counted all requests")
            assert told is not None
            found[name] = told
        yield found


def _connections(read: Page) -> float:
    active = read.samples["envoy_http_downstream_cx_active"]
    return sum(value for labels, value in active.items() if ("envoy_http_conn_manager_prefix", "bench") in labels)


def mine(samples: dict[Labels, float]) -> dict[Labels, float]:
    """Without Envoy's own admin listener, and without what never happened."""
    return {
        labels: value
        for labels, value in samples.items()
        if value and ("envoy_http_conn_manager_prefix", "admin") not in labels
    }


def test_metrics_of_the_same_name_have_the_same_type_and_labels(pages: dict[str, Page]) -> None:
    ours, theirs = pages["plait"], pages["envoy"]
    both = sorted(set(ours.types) & set(theirs.types))
    assert len(both) > 60, both
    assert {name: ours.types[name] for name in both} == {name: theirs.types[name] for name in both}

    def labels(read: Page, name: str) -> set[tuple[str, ...]]:
        return {tuple(label for label, _ in each) for each in read.samples[name]}

    wrong = {
        name: (labels(ours, name), labels(theirs, name))
        for name in both
        if not labels(ours, name) & labels(theirs, name)
    }
    assert wrong == {}


def test_metrics_have_names_that_envoy_has(pages: dict[str, Page]) -> None:
    assert {name for name in pages["plait"].types if name not in pages["envoy"].types} <= OWN


@pytest.mark.parametrize("name", EQUAL)
def test_counts_are_those_of_envoy(pages: dict[str, Page], name: str) -> None:
    ours, theirs = pages["plait"].samples.get(name, {}), pages["envoy"].samples.get(name, {})
    assert ours
    assert mine(ours) == mine(theirs)
