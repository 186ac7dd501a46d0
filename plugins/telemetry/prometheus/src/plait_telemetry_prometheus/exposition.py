"""Prometheus's text format (version 0.0.4), as Envoy writes it.

Written here and not by ``prometheus_client``, because that ends the name of every counter in ``_total``: dashboards and
alerts made for Envoy would find neither ``envoy_cluster_upstream_rq_xx`` nor its like. Its parser reads the page in the
tests.
"""

from __future__ import annotations

from plait import HistogramSnapshot, Snapshot
from plait_telemetry_prometheus.names import prometheus_name

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(snapshot: Snapshot, **_: object) -> str:
    """The page: for each metric a line with its type, its samples in order of their labels, and an empty line."""
    metrics: dict[str, tuple[str, dict[str, str]]] = {}
    for type_, values in (("counter", snapshot.counters), ("gauge", snapshot.gauges)):
        for name, value in values.items():
            metric, labels = prometheus_name(name)
            _samples(metrics, metric, type_)[labels] = f"{metric}{{{labels}}} {value}\n"
    for name, histogram in snapshot.histograms.items():
        metric, labels = prometheus_name(name)
        _samples(metrics, metric, "histogram")[labels] = _histogram(metric, labels, histogram)
    page = []
    for metric in sorted(metrics):
        type_, samples = metrics[metric]
        page.append(f"# TYPE {metric} {type_}\n{''.join([samples[labels] for labels in sorted(samples)])}\n")
    return "".join(page)


def _samples(metrics: dict[str, tuple[str, dict[str, str]]], metric: str, type_: str) -> dict[str, str]:
    """Where samples of a metric go. One name has one type: a second one gets its type at the end of the name."""
    known, samples = metrics.setdefault(metric, (type_, {}))
    return samples if known == type_ else _samples(metrics, f"{metric}_{type_}", type_)


def _histogram(metric: str, labels: str, histogram: HistogramSnapshot) -> str:
    before = f"{labels}," if labels else ""
    lines = [f'{metric}_bucket{{{before}le="{_number(bound)}"}} {count}\n' for bound, count in histogram.buckets]
    lines.append(f'{metric}_bucket{{{before}le="+Inf"}} {histogram.count}\n')
    lines.append(f"{metric}_sum{{{labels}}} {_number(histogram.sum)}\n")
    lines.append(f"{metric}_count{{{labels}}} {histogram.count}\n")
    return "".join(lines)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
