"""Fixtures of the integration tests."""

from pathlib import Path

import pytest

from tests.integration.tls import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A folder for certificates and keys."""
    return Files(tmp_path)
