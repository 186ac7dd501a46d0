"""The pytest plugin: fixtures over ``plait.testing``."""

from __future__ import annotations

import pytest

from plait.testing.context import FakeContext


@pytest.fixture
def plait_context() -> FakeContext:
    """A worker for factories to ask: statistics, timers that ``advance`` moves, no clusters."""
    return FakeContext()
