"""The settings of the router filter: all that traffic needs of envoy.extensions.filters.http.router.v3.Router."""

from __future__ import annotations

import attrs


@attrs.frozen
class RouterSettings:
    """``suppress_envoy_headers`` leaves out the ``x-envoy-…`` headers that the router would add.

    Where it is not ``http``, requests keep their headers as they are, and none of them changes timeouts and retries.
    """

    suppress_envoy_headers: bool = False
    http: bool = True


RPC = RouterSettings(suppress_envoy_headers=True, http=False)
"""Headers of an RPC are its attachments: they belong to the two who call each other."""
