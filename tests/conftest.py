"""What all tests share: the Hypothesis profile and the optional folder of real data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

# CI machines are slow and share their cores: the time of one example says nothing, and made inputs must not
# differ from run to run of the same commit.
settings.register_profile("flow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flow")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ``../shared/data`` beside the clone: data sets and real tool reports, too large for git.

    Tests that use it are skipped where it is absent.
    """
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the folder ../shared/data beside the clone")
    return SHARED_DATA
