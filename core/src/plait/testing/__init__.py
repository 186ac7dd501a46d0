"""Conformance kits for plugin authors, shipped as a pytest plugin.

Nothing here opens a socket: filters meet a stream made by hand, codecs meet bytes, registries a sink that remembers.
"""

from plait.testing.codec import check_codec, events
from plait.testing.context import FakeContext, FakeStats
from plait.testing.plugins import check_plugin
from plait.testing.registry import RecordingSink, check_registry
from plait.testing.stream import FakeStream, run_filter

__all__ = [
    "FakeContext",
    "FakeStats",
    "FakeStream",
    "RecordingSink",
    "check_codec",
    "check_plugin",
    "check_registry",
    "events",
    "run_filter",
]
