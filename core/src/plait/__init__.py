"""Plait: compose service-mesh sidecars out of Python plugins.

This module is what plugins import: the interfaces of ``plait.api``, and ``hookimpl``, the mark of a hook. It stays
light: no protobuf, no gRPC, no event loop.
"""

from pluggy import HookimplMarker

from plait.api import *  # noqa: F403
from plait.api import __all__ as _api

hookimpl = HookimplMarker("plait")

__all__ = [*_api, "hookimpl"]  # noqa: PLE0604 - the other names are strings too
