"""Conformance kits for plugin authors, shipped as a pytest plugin.

Filters meet a stream made by hand, codecs meet bytes, registries a sink that remembers. Only ``RunningPlane`` opens
sockets, for filters of connections and datagrams.
"""

from plait.testing.codec import check_codec, events
from plait.testing.context import FakeContext, FakeStats
from plait.testing.plane import RunningPlane, on_every_loop, until
from plait.testing.plugins import check_plugin
from plait.testing.registry import RecordingSink, check_registry
from plait.testing.stream import FakeStream, run_filter

__all__ = [
    "FakeContext",
    "FakeStats",
    "FakeStream",
    "RecordingSink",
    "RunningPlane",
    "check_codec",
    "check_plugin",
    "check_registry",
    "events",
    "on_every_loop",
    "run_filter",
    "until",
]
