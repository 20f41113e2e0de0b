"""What the tests of commands share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.commands.builder import Flow, make_run, small

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def flow(capsys: pytest.CaptureFixture[str]) -> Flow:
    return Flow(capsys)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three winners, not to be changed."""
    return make_run(tmp_path_factory.mktemp("runs") / "first", [small(units) for units in (4, 8, 12)])


@pytest.fixture
def runs(made_run: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the run, which is the latest."""
    shutil.copytree(made_run, tmp_path / "runs" / "first")
    (tmp_path / "runs" / "latest").symlink_to("first")
    return tmp_path / "runs"
