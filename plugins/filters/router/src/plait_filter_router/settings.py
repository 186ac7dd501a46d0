"""The settings of the router filter: all that traffic needs of envoy.extensions.filters.http.router.v3.Router."""

from __future__ import annotations

import attrs


@attrs.frozen
class RouterSettings:
    """``suppress_envoy_headers`` leaves out the ``x-envoy-…`` headers that the router would add.

    ``callers_steer`` lets such headers of a request change its timeouts and retries: HTTP's edge says whose may.
    """

    suppress_envoy_headers: bool = False
    callers_steer: bool = True


RPC = RouterSettings(suppress_envoy_headers=True, callers_steer=False)
"""Headers of an RPC are its attachments: they belong to the two who call each other."""
