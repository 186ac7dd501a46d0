"""The settings of the router filter: all that traffic needs of envoy.extensions.filters.http.router.v3.Router."""

from __future__ import annotations

import attrs


@attrs.frozen
class RouterSettings:
    """``suppress_envoy_headers`` leaves out the ``x-envoy-…`` headers that the router would add."""

    suppress_envoy_headers: bool = False
