"""From Envoy's dotted names to Prometheus's: the tags of a name become labels.

cluster.shop.upstream_rq_503       envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="shop"}
http.in.downstream_rq_2xx          envoy_http_downstream_rq_xx{envoy_response_code_class="2",…_prefix="in"}
"""

from __future__ import annotations

import functools
import re

from plait import extract_tags

_UNFIT = re.compile(r"[^a-zA-Z0-9_:]")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@functools.lru_cache(maxsize=1 << 16)
def prometheus_name(name: str) -> tuple[str, str]:
    """The metric's name and its labels as they are written between braces."""
    left, tags = extract_tags(name)
    labels = [f'{_UNFIT.sub("_", tag)}="{value.translate(_ESCAPES)}"' for tag, value in tags]
    return "envoy_" + _UNFIT.sub("_", left), ",".join(labels)
